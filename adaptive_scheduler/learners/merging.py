"""Points that one learner has and another, of the same kind, lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.learners import contents
from adaptive_scheduler.learners.own_format import has_own_format

if TYPE_CHECKING:
    from adaptive import BaseLearner

    from adaptive_scheduler.learners.storage import DataFiles


def can_merge(learner: BaseLearner) -> bool:
    """Whether `learner` takes points from anywhere, one by one: some of adaptive's do."""
    return _is_plain(learner) and type(learner).__name__ in _ways_to_tell()


def merge(learner: BaseLearner, other: BaseLearner) -> int:
    """Add to `learner` what `other` has and it lacks; return how many points that are."""
    missing = {x: y for x, y in other.data.items() if x not in learner.data}
    _ways_to_tell()[type(learner).__name__](learner, missing)
    return len(missing)


def load_if_more(learner: BaseLearner, files: DataFiles) -> int:
    """Fill `learner` from `files` if these hold more points; return how many more.

    For learners that `can_merge` refuses: all of their data comes from one file.
    """
    before = int(learner.npoints)
    try:
        with contents.unchanged_on_error(learner):
            files.load()
            _check_that_there_are_more(learner, before)
    except _NoMorePointsError:
        return 0
    return int(learner.npoints) - before


class _NoMorePointsError(Exception):
    """The files hold no more points than the learner had."""


def _check_that_there_are_more(learner: BaseLearner, before: int) -> None:
    if learner.npoints <= before:
        raise _NoMorePointsError


def _is_plain(learner: BaseLearner) -> bool:
    """Whether a learner is adaptive's own, and not derived from it."""
    return type(learner).__module__.startswith("adaptive.") and not has_own_format(learner)


def _ways_to_tell() -> dict[str, Callable[[Any, Mapping[Any, Any]], None]]:
    """Return, for the learners that take points from anywhere, how they take them."""

    def tell_each(learner: Any, points: Mapping[Any, Any]) -> None:
        for x, y in points.items():
            learner.tell(x, y)

    def tell_indices(learner: Any, points: Mapping[Any, Any]) -> None:
        for index, y in points.items():
            learner.tell((index, learner.sequence[index]), y)

    names = ("Learner1D", "Learner2D", "LearnerND", "AverageLearner")
    return {**dict.fromkeys(names, tell_each), "SequenceLearner": tell_indices}
