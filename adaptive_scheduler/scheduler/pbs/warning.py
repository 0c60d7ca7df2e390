"""How jobs warn themselves before the end of their time: PBS does it only at the very end."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final

from adaptive_scheduler.scheduler.early_warning import NOT_YET, warning_time

#: What comes before a job waits for the time of its warning, and after.
_WARNING: Final = (
    "# A signal before the end of the walltime: the job saves, and gives its learner back.",
    NOT_YET,
)
_WARN: Final = "exec kill -USR1 $$) > /dev/null 2>&1 &"


def warning_lines(limit: int | None, seconds_before: float | None) -> list[str]:
    """Return the lines by which a job warns itself.

    Parameters
    ----------
    limit
        How many seconds the job may run; None if nothing is known.
    seconds_before
        How many seconds before; None for a minute, or less in short jobs.
    """
    time = None if limit is None else _warned_after(limit, seconds_before)
    return [] if time is None else [*_WARNING, f"(sleep {time} && {_WARN}"]


def warning_lines_by_queue(limits: Mapping[str, int], seconds_before: float | None) -> list[str]:
    """Return the lines by which a job warns itself whose queue decides how long it may run.

    PBS may move a job from queue to queue. So it is the job that looks where it is.

    Parameters
    ----------
    limits
        How many seconds a job may run, by queue.
    seconds_before
        As for `warning_lines`.
    """
    by_time: dict[int, list[str]] = {}
    for queue, limit in limits.items():
        if (time := _warned_after(limit, seconds_before)) is not None:
            by_time.setdefault(time, []).append(shlex.quote(queue))
    if not by_time:
        return []
    cases = [f"    {' | '.join(queues)}) sleep {time} ;;" for time, queues in by_time.items()]
    return [*_WARNING, '(case "$PBS_QUEUE" in', *cases, "    *) exit ;;", f"esac && {_WARN}"]


def _warned_after(limit: int, seconds_before: float | None) -> int | None:
    """Return how many seconds after its start a job is warned; None for never."""
    seconds = warning_time(limit, seconds_before)
    return limit - seconds if 0 < seconds < limit else None
