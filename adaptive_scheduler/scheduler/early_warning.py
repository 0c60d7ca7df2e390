"""The signal by which a job learns that its time is nearly over, so that it can save.

Some systems send it themselves. Where they don't, the job script has the job
send it to itself.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, Final

from adaptive_scheduler.errors import InvalidInputError

#: Seconds before the end at which a job is warned, but for short jobs.
_USUAL: Final = 60
#: Of a short job's time, this part is what a warning may cost.
_PART: Final = 0.1
#: The most that any scheduler takes: sbatch, see its option ``--signal``.
_LONGEST: Final = 65_535

#: What the shell does with the signal until the job's program listens.
NOT_YET: Final = "trap '' USR1  # until the program listens: a warning would end the shell"
#: What comes before a job waits for the time of its own warning, and after.
_WARNING: Final = (
    "# A signal before the end of the job's time: it saves, and gives its learner back.",
    NOT_YET,
)
_WARN: Final = "exec kill -USR1 $$) > /dev/null 2>&1 &"


def check_warning(seconds: Any) -> None:
    """Check what a user says for `signal_before_end`.

    Raises
    ------
    InvalidInputError
        If it is neither None nor a number of seconds that schedulers take.
    """
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if seconds is not None and not (is_number and 0 <= seconds <= _LONGEST):
        raise InvalidInputError(
            f"`signal_before_end` is a number of seconds up to {_LONGEST}, not {seconds!r}."
        )


def warning_time(limit: float | None, wanted: float | None) -> int:
    """Return how many seconds before the end a job is warned; 0 for never.

    Parameters
    ----------
    limit
        How many seconds the job may run; None if nothing is known, and then
        only a warning that was asked for makes sense.
    wanted
        What the user says; None for a minute, or less in short jobs.
    """
    if wanted is not None:
        return int(wanted)
    return 0 if limit is None else min(_USUAL, int(_PART * limit))


def warning_lines(limit: int | None, seconds_before: float | None) -> list[str]:
    """Return the lines of a job script by which a job warns itself.

    Parameters
    ----------
    limit
        How many seconds the job may run; None if nothing is known.
    seconds_before
        How many seconds before; None for a minute, or less in short jobs.
    """
    time = None if limit is None else _warned_after(limit, seconds_before)
    return [] if time is None else [*_WARNING, f"(sleep {time} && {_WARN}"]


def warning_lines_by_queue(
    limits: Mapping[str, int], seconds_before: float | None, *, queue: str
) -> list[str]:
    """Return the lines by which a job warns itself whose queue decides how long it may run.

    A system may move a job from queue to queue. So it is the job that looks where it is.

    Parameters
    ----------
    limits
        How many seconds a job may run, by queue.
    seconds_before
        As for `warning_lines`.
    queue
        The shell expression that tells a job in which queue it is.
    """
    by_time: dict[int, list[str]] = {}
    for name, limit in limits.items():
        if (time := _warned_after(limit, seconds_before)) is not None:
            by_time.setdefault(time, []).append(shlex.quote(name))
    if not by_time:
        return []
    cases = [f"    {' | '.join(names)}) sleep {time} ;;" for time, names in by_time.items()]
    return [*_WARNING, f'(case "{queue}" in', *cases, "    *) exit ;;", f"esac && {_WARN}"]


def _warned_after(limit: int, seconds_before: float | None) -> int | None:
    """Return how many seconds after its start a job is warned; None for never."""
    seconds = warning_time(limit, seconds_before)
    return limit - seconds if 0 < seconds < limit else None
