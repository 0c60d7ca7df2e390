"""The signal by which a job learns that its time is nearly over, so that it can save."""

from __future__ import annotations

from typing import Any

from adaptive_scheduler.errors import InvalidInputError

#: Seconds before the end at which a job is warned, but for short jobs.
_USUAL = 60
#: Of a short job's time, this part is what a warning may cost.
_PART = 0.1
#: The most that any scheduler takes: sbatch, see its option ``--signal``.
_LONGEST = 65_535

#: What the shell does with the signal until the job's program listens.
NOT_YET = "trap '' USR1  # until the program listens: a warning would end the shell"


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
