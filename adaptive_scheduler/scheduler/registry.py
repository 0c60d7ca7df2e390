"""Kinds of schedulers by their short names: the one of this machine, and those of run folders.

A run folder holds its scheduler as data, so that whoever looks at a run can
list and cancel its jobs without running code that lies in the folder. The
data hold a name that is looked up here, never a path to import.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from adaptive_scheduler.errors import InvalidInputError

if TYPE_CHECKING:
    from adaptive_scheduler.scheduler.base import BaseScheduler

#: The group in which packages announce classes of theirs: ``kind = "package.module:Class"``.
ENTRY_POINTS: Final = "adaptive_scheduler.schedulers"
#: The kinds that come with this package, in the order in which `DefaultScheduler` prefers them:
#: module and class of each.
BUILT_IN: Final = {
    "slurm": ("adaptive_scheduler.scheduler.slurm.scheduler", "SLURM"),
    "pbs": ("adaptive_scheduler.scheduler.pbs.scheduler", "PBS"),
    "local": ("adaptive_scheduler.scheduler.local.scheduler", "Local"),
}


def known_kinds() -> list[str]:
    """Return the short names of all kinds, those of this package first."""
    return [*BUILT_IN, *sorted(entry.name for entry in entry_points(group=ENTRY_POINTS))]


def scheduler_class(kind: str) -> type[BaseScheduler]:
    """Return the class of a kind of scheduler.

    Parameters
    ----------
    kind
        Its short name: ``"slurm"``, ``"pbs"``, ``"local"``, or one that an installed package
        has announced in the group of entry points ``adaptive_scheduler.schedulers``.

    Raises
    ------
    InvalidInputError
        If no class has this name.
    """
    if kind in BUILT_IN:
        module, name = BUILT_IN[kind]
        found = getattr(import_module(module), name)
    else:
        found = next((e.load() for e in entry_points(group=ENTRY_POINTS, name=kind)), None)
    if found is None:
        raise InvalidInputError(
            f"There is no kind of scheduler {kind!r}. There are: {', '.join(known_kinds())}. "
            "Others come with packages that announce them in the group of entry points "
            f"{ENTRY_POINTS!r}."
        )
    kind_class: type[BaseScheduler] = found
    return kind_class


def from_data(data: Mapping[str, object]) -> BaseScheduler:
    """Return a scheduler that can list and cancel the jobs of the one whose `as_data` this is.

    Parameters
    ----------
    data
        What `BaseScheduler.as_data` has returned, perhaps in another process.

    Raises
    ------
    InvalidInputError
        If its class can't be found by its name, or the data are not of that kind.

    Examples
    --------
    >>> from_data({"kind": "local", "folder": None}).queue()
    {}
    """
    kind = data.get("kind")
    if not isinstance(kind, str):
        raise InvalidInputError(f"These data are not of a scheduler: {dict(data)!r}.")
    if not kind:
        raise InvalidInputError(
            f"The scheduler of this run is {data.get('class')!r}, a class without a short name, "
            "which can't be found again. Use `RunManager.attach`, which loads the scheduler itself."
        )
    return scheduler_class(kind).from_data(data)


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
