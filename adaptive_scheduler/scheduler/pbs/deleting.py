"""How jobs of PBS are deleted."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler.command import run_command
from adaptive_scheduler.scheduler.pbs import client
from adaptive_scheduler.scheduler.pbs.client import GONE, IDS_PER_CALL, checked

#: What qdel says of jobs that it need not end, or that are about to end.
#: Source: OpenPBS's pbs_messages.c and req_delete.c.
_NOT_TO_DELETE: Final = (
    *GONE,
    "Request invalid for state of job",
    "Request invalid for finished array subjob",
    "Delete already in progress",
    "illegally formed job identifier",
)
#: What it says of a running job whose node does not answer. Such a job would
#: stay until the node is given up, and then run again somewhere else.
_IS_LOST: Final = re.compile(r".*Server could not connect to MOM.*?(?P<id>\d+(?:\[\d*\])?\.\S+)")


def delete(job_ids: Sequence[str], *, can_force: bool) -> None:
    """Ask PBS to end jobs.

    Parameters
    ----------
    job_ids
        Of jobs, arrays and members of arrays; those that PBS doesn't know are no error.
    can_force
        Whether qdel knows ``-W force``, with which the server lets go of jobs
        whose nodes don't answer.

    Raises
    ------
    SchedulerUnavailableError
        If it is not known whether it will. All jobs were asked for then, too.
    """
    failures = []
    for start in range(0, len(job_ids), IDS_PER_CALL):
        try:
            _delete_some(job_ids[start : start + IDS_PER_CALL], can_force=can_force)
        except SchedulerUnavailableError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _delete_some(job_ids: Sequence[str], *, can_force: bool) -> None:
    answer = run_command(("qdel", *job_ids), timeout=client.TIMEOUT)
    lost = _lost(answer.stderr) if can_force else []
    if lost:
        forced = run_command(("qdel", "-W", "force", *lost), timeout=client.TIMEOUT)
        checked(forced, harmless=_NOT_TO_DELETE)
    checked(answer, harmless=(*_NOT_TO_DELETE, *lost))


def _lost(complaints: str) -> Collection[str]:
    matches = map(_IS_LOST.fullmatch, complaints.splitlines())
    return [match["id"] for match in matches if match is not None]
