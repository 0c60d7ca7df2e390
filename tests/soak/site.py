"""What a soak has to know of the scheduler that it takes place on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Protocol, TypeAlias

import psutil

from tests.cluster.processes import environment_of

Fault: TypeAlias = Callable[[], Iterator[float]]


class Site(Protocol):
    """A scheduler, its jobs, and what can go wrong with it."""

    #: What the program of the run calls it.
    name: str

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables with which its commands are found."""

    @property
    def on_the_managers_host(self) -> Sequence[str]:
        """The beginning of a command that runs where the manager does; none if that is here."""

    def jobs(self) -> list[int]:
        """Return the processes of jobs, in the order of their jobs."""

    def faults(self, random: Random, job: Callable[[], list[int]]) -> dict[str, Fault]:
        """Return the faults that it has, by name; `job` chooses the process of one job, if any."""

    def mend(self) -> None:
        """See to it that it can go on, when no fault lasts any more."""

    def left(self) -> str:
        """Return what there still is of jobs; nothing if all is over."""


def some_seconds(random: Random) -> float:
    """Return how long a fault lasts."""
    return random.uniform(0.5, 4.0)


def variable(pid: int, name: str) -> str:
    """Return a variable with which a process was started; nothing if there is none."""
    with suppress(psutil.Error):
        for assignment in environment_of(pid):
            key, _, value = assignment.decode(errors="replace").partition("=")
            if key == name:
                return value
    return ""
