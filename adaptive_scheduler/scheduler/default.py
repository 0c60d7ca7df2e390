"""The scheduler of the machine on which the program runs."""

from __future__ import annotations

import os
import shutil
from typing import Any

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.scheduler.base import BaseScheduler
from adaptive_scheduler.scheduler.registry import BUILT_IN, known_kinds, scheduler_class

#: Decides where there are several.
VARIABLE = "SCHEDULER_SYSTEM"


def DefaultScheduler(*args: Any, **keywords: Any) -> BaseScheduler:  # noqa: N802  as in release 2
    """Make the scheduler that this machine has: `SLURM`, `PBS`, or else `Local`.

    Where there are several, the environment variable ``SCHEDULER_SYSTEM`` says
    which, also one that an installed package has announced; it is read when
    this is called.

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
    kind = os.environ.get(VARIABLE, "").lower()
    if not kind:
        return _first_found()
    if kind not in known_kinds():
        raise InvalidInputError(
            f"{VARIABLE} is {os.environ[VARIABLE]!r}, but there are: "
            f"{', '.join(known.upper() for known in known_kinds())}."
        )
    return scheduler_class(kind)


def _first_found() -> type[BaseScheduler]:
    """Return the first kind whose command is here; Local needs none."""
    kinds = map(scheduler_class, BUILT_IN)
    return next(kind for kind in kinds if kind.is_local or shutil.which(kind.submit_cmd))
