"""When a learner is done: what users say, and what jobs evaluate.

A goal is evaluated in the job, after each batch of points. What `smart_goal`
returns can be pickled and compared, and says in its ``repr`` what it waits for.
"""

from __future__ import annotations

import inspect
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeAlias

from adaptive_scheduler._common.user_warning import warn_user
from adaptive_scheduler.errors import InvalidGoalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from adaptive import BaseLearner

__all__ = ["GoalTypes", "check_goal", "n_possible", "smart_goal"]

#: What a user may give as a goal.
GoalTypes: TypeAlias = Callable[[Any], bool] | int | float | datetime | timedelta | None

_WHAT_A_GOAL_IS = (
    "A goal is a number of points (int), a loss (float), a date and time until which to run "
    "(datetime), a duration (timedelta), a function that takes the learner and returns whether "
    "it is done, or None (until sequences and integrals are complete, other learners for ever)"
)


def check_goal(goal: GoalTypes) -> None:
    """Check that `goal` is one.

    Raises
    ------
    InvalidGoalError
        It is of another type, a negative number or duration, nan, or a
        function that can't be called with just the learner.
    """
    problem = _problem_of(goal)
    if problem:
        raise InvalidGoalError(f"{_WHAT_A_GOAL_IS}. {goal!r} is {problem}.")


def smart_goal(goal: GoalTypes, learners: Sequence[BaseLearner]) -> Callable[[BaseLearner], bool]:
    """Turn `goal` into a function of the learner that says whether it is done.

    A goal holds for a `BalancingLearner` when it holds for each of its learners;
    only a number of points is that of all of them together. It holds for a
    `DataSaver` when it holds for what it wraps. Where no points are left to ask for
    (the end of a sequence), any goal but a function of the user's holds.

    Parameters
    ----------
    goal
        A function of the learner is returned as it is. An int is a number of
        points, a float a loss. A datetime without a time zone means local
        time here, wherever the job runs. A timedelta counts from the first
        time that the goal is evaluated after it was unpickled. None lets
        sequences and integrals run until they are complete.
    learners
        The learners that the goal is for.

    Returns
    -------
    callable
        It can be pickled, unless it is a function of the user's that can't.

    Raises
    ------
    InvalidGoalError
        `goal` is none.

    Warns
    -----
    UserWarning
        With None as a goal, learners of these types run until they are cancelled.
    """
    check_goal(goal)
    if goal is None:
        _warn_if_endless(learners)
    return _goal_function(goal)


class Goal(ABC):
    """A function of the learner that says whether it is done."""

    def __call__(self, learner: BaseLearner) -> bool:
        """Whether each part of `learner` is there, or has no points left to ask for."""
        return all(self.holds(part) or _is_exhausted(part) for part in self.parts(learner))

    def parts(self, learner: BaseLearner) -> list[BaseLearner]:
        """Return the learners that have to be there, one by one."""
        return list(_leaves(learner))

    @abstractmethod
    def holds(self, learner: BaseLearner) -> bool:
        """Whether `learner`, which contains no other, is there."""


@dataclass(frozen=True)
class NPoints(Goal):
    """At least so many points: of all children together, if there are any."""

    npoints: int

    def parts(self, learner: BaseLearner) -> list[BaseLearner]:
        return [learner]

    def holds(self, learner: BaseLearner) -> bool:
        return bool(learner.npoints >= self.npoints)


@dataclass(frozen=True)
class Loss(Goal):
    """At most this loss."""

    loss: float

    def holds(self, learner: BaseLearner) -> bool:
        return bool(learner.loss() <= self.loss)


@dataclass(frozen=True)
class Until(Goal):
    """Not before this time, which has a time zone."""

    time: datetime

    def holds(self, learner: BaseLearner) -> bool:
        del learner  # time is the same for all
        return datetime.now(self.time.tzinfo) >= self.time


@dataclass
class For(Goal):
    """Not before so much time has passed since it was first evaluated.

    A copy (by pickling, too) begins anew.
    """

    duration: timedelta
    _start: float | None = field(default=None, init=False, repr=False, compare=False)

    def holds(self, learner: BaseLearner) -> bool:
        del learner  # time is the same for all
        if self._start is None:
            self._start = time.monotonic()
        return time.monotonic() - self._start >= self.duration.total_seconds()

    def __reduce__(self) -> tuple[type[For], tuple[timedelta]]:
        return type(self), (self.duration,)


@dataclass(frozen=True)
class Complete(Goal):
    """All of a sequence, an integral within its tolerance; other learners never."""

    def holds(self, learner: BaseLearner) -> bool:
        return _has_an_end(learner) and bool(learner.done())


def _problem_of(goal: object) -> str | None:
    """Say why `goal` is no goal, if so."""
    if goal is None or isinstance(goal, datetime):
        return None
    if isinstance(goal, timedelta):
        return "negative" if goal < timedelta() else None
    if type(goal) is not bool and isinstance(goal, Real):
        return "not a number" if math.isnan(goal) else "negative" if goal < 0 else None
    if callable(goal):
        return _problem_of_function(goal)
    return f"a {type(goal).__name__}"


def _problem_of_function(function: Callable[..., Any]) -> str | None:
    if inspect.iscoroutinefunction(function):
        return "an async function, whose answer nobody waits for"
    try:
        inspect.signature(function).bind("learner")
    except TypeError as error:
        return f"a function that can't be called with one argument ({error})"
    except ValueError:  # some functions written in C don't tell their parameters
        return None
    return None


def _goal_function(goal: Any) -> Callable[[Any], bool]:
    if goal is None:
        return Complete()
    if isinstance(goal, Integral):
        return NPoints(int(goal))
    if isinstance(goal, Real):
        return Loss(float(goal))
    if isinstance(goal, datetime):
        return Until(goal if goal.tzinfo else goal.astimezone())
    if isinstance(goal, timedelta):
        return For(goal)
    function: Callable[[Any], bool] = goal
    return function


def _warn_if_endless(learners: Sequence[BaseLearner]) -> None:
    leaves = (leaf for learner in learners for leaf in _leaves(learner))
    endless = {type(leaf).__name__ for leaf in leaves if not _has_an_end(leaf)}
    if endless:
        warn_user(
            f"Without a goal, learners of type {', '.join(sorted(endless))} run until they are "
            "cancelled. Give a goal, such as a number of points or a loss."
        )


def _leaves(learner: BaseLearner) -> Iterator[BaseLearner]:
    """Find the learners that contain no others."""
    from adaptive import BalancingLearner, DataSaver

    if isinstance(learner, BalancingLearner):
        for child in learner.learners:
            yield from _leaves(child)
    elif isinstance(learner, DataSaver):
        yield from _leaves(learner.learner)
    else:
        yield learner


def _has_an_end(learner: BaseLearner) -> bool:
    from adaptive import IntegratorLearner, SequenceLearner

    return isinstance(learner, (SequenceLearner, IntegratorLearner))


def _is_exhausted(learner: BaseLearner) -> bool:
    """Whether `learner` has nothing left to ask for, and nothing to wait for."""
    from adaptive import IntegratorLearner, SequenceLearner

    return all(
        leaf.done()
        if isinstance(leaf, SequenceLearner)
        else isinstance(leaf, IntegratorLearner) and not leaf.ivals
        for leaf in _leaves(learner)
    )


def n_possible(learner: BaseLearner) -> int | None:
    """Count the points that `learner` can have at most, if there is a limit."""
    from adaptive import SequenceLearner

    leaves = list(_leaves(learner))
    if not all(isinstance(leaf, SequenceLearner) for leaf in leaves):
        return None
    return sum(len(leaf.sequence) for leaf in leaves)
