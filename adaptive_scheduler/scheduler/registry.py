"""Kinds of schedulers by their short names, and schedulers from what was written down of them.

A run folder holds its scheduler as data, so that whoever looks at a run can
list and cancel its jobs without running code that lies in the folder. The
data hold a name that is looked up here, never a path to import.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

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
