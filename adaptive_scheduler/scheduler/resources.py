"""What a job asks for, and how users say it for one learner or for many."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Self, TypeAlias, TypeVar, get_args

from adaptive_scheduler._common.checks import check_count
from adaptive_scheduler._common.formatting import counted
from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.executors.kinds import EXECUTOR_TYPES

T = TypeVar("T")

_SPAN = re.compile(r"(?:(?:(\d+)-)?(\d+):)?([0-5]?\d):([0-5]?\d)", re.ASCII)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=", re.ASCII)

#: One value for all jobs, or a function without arguments that is called when
#: a job is submitted, or a tuple with one of these for each learner.
PerLearner: TypeAlias = T | Callable[[], T] | tuple[T | Callable[[], T], ...]


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one job asks its scheduler for. Jobs with equal resources share an array.

    Attributes
    ----------
    cores
        Cores in total, over all nodes.
    executor_type
        How the job spreads its evaluations over its cores.
    num_threads
        Threads that each evaluation may use (BLAS, OpenMP).
    extra_scheduler
        Options for the head of the job script, as the scheduler spells them.
    extra_env_vars
        Assignments ``NAME=value`` that the job script exports, quoted as for a shell.
    extra_script
        Lines of shell that run before the job's program.
    time
        Wall time after which the scheduler ends the job, ``HH:MM:SS`` with as many hours as
        need be; None for its default. Also ``D-HH:MM:SS``, ``MM:SS``, a number of seconds or
        a timedelta, which are turned into the first.
    """

    cores: int = 1
    executor_type: EXECUTOR_TYPES = "process-pool"
    num_threads: int = 1
    extra_scheduler: tuple[str, ...] = ()
    extra_env_vars: tuple[str, ...] = ()
    extra_script: str = ""
    time: str | None = None

    def __post_init__(self) -> None:
        for name in ("cores", "num_threads"):
            check_count(name, getattr(self, name))
        if self.executor_type not in get_args(EXECUTOR_TYPES):
            known = ", ".join(get_args(EXECUTOR_TYPES))
            raise InvalidInputError(
                f"There is no executor_type {self.executor_type!r}. There are: {known}."
            )
        for name in ("extra_scheduler", "extra_env_vars"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(v, str) for v in value):
                raise InvalidInputError(f"`{name}` is a list of strings, not {value!r}.")
        if not isinstance(self.extra_script, str):
            raise InvalidInputError(f"`extra_script` is a string, not {self.extra_script!r}.")
        if self.time is not None:
            object.__setattr__(self, "time", clock_time(self.time))
        for assignment in self.extra_env_vars:
            if not _ASSIGNMENT.match(assignment):
                raise InvalidInputError(
                    f"`extra_env_vars` holds strings such as 'NAME=value', not {assignment!r}."
                )

    def __str__(self) -> str:
        return f"{counted(self.cores, 'core')} each"

    @classmethod
    def of(cls, resources: Resources) -> Self:
        """Return resources that are of this kind.

        Raises
        ------
        InvalidInputError
            If another scheduler has made them.
        """
        if not isinstance(resources, cls):
            raise InvalidInputError(f"These are no {cls.__name__}: {resources!r}.")
        return resources


def words_of(option: str) -> list[str]:
    """Return the words of an option in `extra_scheduler`.

    Raises
    ------
    InvalidInputError
        If a quote in it is never closed.
    """
    try:
        return shlex.split(option)
    except ValueError as error:
        raise InvalidInputError(f"`extra_scheduler` has {option!r}: {error}.") from error


def clock_time(time: str | float | timedelta) -> str:
    """Return a time span as ``HH:MM:SS``, rounded up to seconds.

    Parameters
    ----------
    time
        ``"HH:MM:SS"``, ``"D-HH:MM:SS"`` or ``"MM:SS"``, seconds, or a timedelta.

    Raises
    ------
    InvalidInputError
        If it is none of these, or not longer than nothing.
    """
    seconds = _seconds(time)
    if seconds is None or not 0 < seconds < math.inf:
        raise InvalidInputError(
            "`time` is a span such as '02:30:00' (hours, minutes, seconds), a number of "
            f"seconds or a timedelta, not {time!r}."
        )
    minutes, seconds = divmod(math.ceil(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def seconds_of(time: str) -> int:
    """Return the seconds of a span ``HH:MM:SS``."""
    hours, minutes, seconds = map(int, time.split(":"))
    return 3600 * hours + 60 * minutes + seconds


def _seconds(time: object) -> float | None:
    if isinstance(time, timedelta):
        return time.total_seconds()
    if isinstance(time, str):
        match = _SPAN.fullmatch(time.strip())
        if match is None:
            return None
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if isinstance(time, bool) or not isinstance(time, int | float):
        return None
    return time


class ResourceTable:
    """What the users asked for, by learner.

    Parameters
    ----------
    kind
        The dataclass that holds one job's resources.
    requested
        For each of its fields a value, a function, or a tuple of these.

    Raises
    ------
    InvalidInputError
        If tuples differ in length, or a value that is known now can't be.
    """

    def __init__(self, kind: type[Resources], requested: dict[str, Any]) -> None:
        self._kind = kind
        self._requests = {f.name: requested[f.name] for f in fields(kind) if f.name in requested}
        lengths = {name: len(w) for name, w in self._requests.items() if isinstance(w, tuple)}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{name} has {n}" for name, n in lengths.items())
            raise InvalidInputError(f"Tuples must have one value for each learner, but {said}.")
        #: For how many learners values were given; None if the same serve all.
        self.n_learners: int | None = next(iter(lengths.values()), None)
        for group in self._example_indices():
            if not any(callable(request) for request in self._requests_of(group)):
                self.resources(group)

    def group(self, index: int) -> Hashable:
        """Return a key that is equal for learners for which the user asked the same."""
        return 0 if self.n_learners is None else tuple(map(_hashable, self._requests_of(index)))

    def resources(self, index: int) -> Resources:
        """Return what the job of learner `index` asks for, as of now."""
        values = {
            name: _hashable(request() if callable(request) else request)
            for name, request in zip(self._requests, self._requests_of(index), strict=True)
        }
        return self._kind(**{name: v for name, v in values.items() if v is not None})

    def _requests_of(self, index: int) -> list[Any]:
        if self.n_learners is not None and index >= self.n_learners:
            raise InvalidInputError(
                f"The scheduler has resources for {self.n_learners} learners; "
                f"there is none for learner {index}."
            )
        return [w[index] if isinstance(w, tuple) else w for w in self._requests.values()]

    def _example_indices(self) -> list[int]:
        """Return one index for each group."""
        first: dict[Hashable, int] = {}
        for index in range(1 if self.n_learners is None else self.n_learners):
            first.setdefault(self.group(index), index)
        return list(first.values())


def _hashable(value: Any) -> Any:
    if isinstance(value, str | tuple) or not isinstance(value, Sequence):
        return value
    return tuple(value)
