"""A way to fill a `Learner1D` that does not take n² steps for n points."""

# ruff: noqa: SLF001  what a subclass overrides decides whether this works for it

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptive import BaseLearner

#: Integers below this have an exact equal among the floats.
_EXACT = 2**53

#: From this many points on, telling them in turn is faster than all at once.
_MANY_POINTS = 2_000


def can_be_told_in_turn(learner: BaseLearner, data: Any) -> bool:
    """Whether `tell_in_turn` works, pays, and leads where ``_set_data`` leads.

    It does not for learners that are no `Learner1D` or not empty, for points
    out of bounds, for values that are not finite, and for types that ``tell``
    converts.
    """
    import numpy as np

    if not (_is_empty_learner1d(learner) and isinstance(data, dict) and len(data) >= _MANY_POINTS):
        return False
    ys = list(data.values())
    if not all(map(_is_number, data)) or not (all(map(_is_number, ys)) or _are_vectors(ys)):
        return False
    xs = np.array(list(data), dtype=float)
    lower, upper = learner.bounds
    inside = lower <= xs.min() and xs.max() <= upper  # False for nan, too
    return bool(inside and np.isfinite(np.array(ys, dtype=float)).all())


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < _EXACT)


def _are_vectors(values: list[Any]) -> bool:
    import numpy as np

    if not all(isinstance(y, np.ndarray) and y.dtype == float for y in values):
        return False
    shapes = {y.shape for y in values}
    return len(shapes) == 1 and values[0].ndim == 1 and values[0].size > 1


def _is_empty_learner1d(learner: BaseLearner) -> bool:
    from adaptive import Learner1D

    kind = type(learner)
    return (
        isinstance(learner, Learner1D)
        and kind._set_data is Learner1D._set_data
        and kind.tell is Learner1D.tell
        and kind.tell_many is Learner1D.tell_many
        and not learner.data
        and not learner.pending_points
    )


def tell_in_turn(learner: BaseLearner, data: dict[float, Any]) -> None:
    """Fill an empty `Learner1D` in a time that grows like n log n.

    Its own ``_set_data`` tells all points at once, and then looks each
    interval up by walking through the list of all: a time that grows like n².
    Losses depend on the extent of the data in x and y. Once the points that
    span it are known, each further point costs a few look-ups, and every loss
    comes out as if all points had been told at once.
    """
    import numpy as np

    xs = np.array(list(data), dtype=float)
    ys = np.array(list(data.values()), dtype=float)
    spanning = {int(xs.argmin()), int(xs.argmax())}
    spanning.update(np.atleast_1d(ys.argmin(axis=0)).tolist())
    spanning.update(np.atleast_1d(ys.argmax(axis=0)).tolist())
    points = list(data.items())
    learner.tell_many(*zip(*(points[i] for i in spanning), strict=True), force=True)
    for x, y in sorted(points, key=lambda point: point[0]):
        learner.tell(x, y)
    # Interpolated losses may differ from the real ones in the last bit.
    learner.remove_unfinished()
    # In the file's order, in which they will be saved again.
    learner.data.clear()
    learner.data.update(data)
