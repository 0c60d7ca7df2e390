"""Our words on a job, by which it is known as one of ours.

PBS has no field for comments of users, and what it has is mangled
(``Variable_List``), used by sites to account for time (``-A``, ``-P``), or left
out for running members of arrays (``Submit_arguments``). The path of a job's
errors survives word for word everywhere, and is not opened when errors go
where the output goes (``-j oe``). So it is a path in the log folder whose last
part has the token of the submission, the number of a job that is alone, and
what the names of the jobs begin with::

    /home/alice/run/logs/adaptive-scheduler=3f0c9a+7=sweep
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

from adaptive_scheduler.scheduler.jobs import Batch

_MARK = re.compile(
    r".*/adaptive-scheduler=(?P<token>[^/=+]+)\+(?P<number>\d*)=(?P<name>[^/]+)", re.DOTALL
)


class Mark(NamedTuple):
    """What is written on a job.

    Attributes
    ----------
    token
        Of the submission.
    number
        Of the job; None for members of an array, whose index is their number.
    job_name
        What the job's name begins with.
    """

    token: str
    number: int | None
    job_name: str


def written(batch: Batch, number: int | None) -> str:
    """Return the last part of the path that marks jobs of a batch."""
    token, name = quote(batch.token, safe=""), quote(batch.job_name, safe="")
    return f"adaptive-scheduler={token}+{'' if number is None else number}={name}"


def read(path: str) -> Mark | None:
    """Return the mark in a path of errors; None if the job is not one of ours."""
    match = _MARK.fullmatch(path)
    if match is None:
        return None
    number = int(match["number"]) if match["number"] else None
    return Mark(unquote(match["token"]), number, unquote(match["name"]))
