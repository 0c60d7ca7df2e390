"""The scheduler of the machine on which the program runs."""

from __future__ import annotations

import os
import shutil
from typing import Any

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.scheduler.base import BaseScheduler
from adaptive_scheduler.scheduler.local.scheduler import Local
from adaptive_scheduler.scheduler.pbs.scheduler import PBS
from adaptive_scheduler.scheduler.slurm.scheduler import SLURM

#: Decides where there are several.
VARIABLE = "SCHEDULER_SYSTEM"

#: The command by which each is known, in the order of preference; Local needs none.
_KNOWN: dict[str, tuple[type[BaseScheduler], str | None]] = {
    "SLURM": (SLURM, "sbatch"),
    "PBS": (PBS, "qsub"),
    "LOCAL": (Local, None),
}


def DefaultScheduler(*args: Any, **keywords: Any) -> BaseScheduler:  # noqa: N802  as in release 2
    """Make the scheduler that this machine has: `SLURM`, `PBS`, or else `Local`.

    Where there are several, the environment variable ``SCHEDULER_SYSTEM`` says
    which; it is read when this is called.

    Parameters
    ----------
    *args, **keywords
        As the scheduler takes them.

    Raises
    ------
    InvalidInputError
        If ``SCHEDULER_SYSTEM`` names none, or the scheduler does not take these.
    """
    return default_kind()(*args, **keywords)


def default_kind() -> type[BaseScheduler]:
    """Return the class of the scheduler that this machine has, see `DefaultScheduler`."""
    name = os.environ.get(VARIABLE, "").upper() or _first_found()
    if name not in _KNOWN:
        raise InvalidInputError(
            f"{VARIABLE} is {os.environ[VARIABLE]!r}, but there are: {', '.join(_KNOWN)}."
        )
    kind, _ = _KNOWN[name]
    return kind


def _first_found() -> str:
    return next(
        name for name, (_, command) in _KNOWN.items() if command is None or shutil.which(command)
    )
