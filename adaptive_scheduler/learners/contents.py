"""What is inside a data file: from a learner to bytes, and back.

The format is that of `adaptive`'s ``learner.save``: a pickle of
``learner._get_data()``, compressed with gzip. Files of either package can be
read by the other.
"""

# ruff: noqa: SLF001  `_get_data` and `_set_data` are what every learner must have

from __future__ import annotations

import copy
import gzip
import pickle
import zlib
from collections.abc import Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adaptive import BaseLearner

_GZIP = b"\x1f\x8b"
_PICKLE = b"\x80"  # of protocol 2 or later; adaptive always used the newest one

#: The lowest level is the fastest. On numbers, higher ones gain a few percent
#: and take up to four times as long.
_COMPRESSION_LEVEL = 1

#: Bytes that are compressed at once, so that memory stays flat.
_CHUNK = 1 << 20

#: Where learners keep their data.
_DATA = ("data", "extra_data")

#: What goes wrong with good content, too.
NOT_THE_CONTENT = (ImportError, OSError, MemoryError, RecursionError)

#: Integers below this have an exact equal among the floats.
_EXACT = 2**53

#: From this many points on, telling them in turn is faster than all at once.
_MANY_POINTS = 2_000


class UnreadableContentError(Exception):
    """These bytes are not, or no longer, the data of this learner."""


def encode(learner: BaseLearner) -> bytes:
    """Pickle the data of `learner`, without compressing it."""
    import cloudpickle

    content: bytes = cloudpickle.dumps(learner._get_data(), protocol=pickle.HIGHEST_PROTOCOL)
    return content


def count(learner: BaseLearner) -> tuple[int, ...] | None:
    """Count what `learner` knows: if its data has changed, so has this.

    None if that can't be told, as for learners that are not adaptive's own.
    Repeated samples of a point change the data, not the number of points.
    """
    from adaptive import BalancingLearner, DataSaver

    parts = _with_inner(learner)
    if not all(type(part).__module__.startswith("adaptive.") for part in parts):
        return None
    counts = []
    for part in parts:
        if isinstance(part, DataSaver):
            counts.append(len(part.extra_data))
        elif not isinstance(part, BalancingLearner):
            counts += [part.npoints, getattr(part, "nsamples", 0)]
    return tuple(counts)


def compress(content: bytes, file: IO[bytes]) -> None:
    """Write `content` to `file` with gzip; equal content gives equal bytes."""
    view = memoryview(content)
    with gzip.GzipFile("", "wb", _COMPRESSION_LEVEL, file, mtime=0) as compressed:
        for start in range(0, len(view), _CHUNK):
            compressed.write(view[start : start + _CHUNK])


def decode(content: bytes) -> Any:
    """Read the data in the bytes of a data file, compressed or not.

    Raises
    ------
    UnreadableContentError
        The bytes are torn, or were never a data file.
    ImportError, AttributeError
        The data has objects of a class that can't be imported here.
    OSError, MemoryError, RecursionError
        The content may be good, but not now or not on this machine.
    """
    pickled = decompress(content)
    if not pickled.startswith(_PICKLE):
        raise UnreadableContentError("it is empty" if not pickled else "it is not a pickle")
    try:
        return pickle.loads(pickled)
    except (*NOT_THE_CONTENT, AttributeError):
        raise
    except Exception as error:  # torn pickles raise anything, and so may the user's classes
        raise UnreadableContentError(words(error)) from error


def decompress(content: bytes) -> bytes:
    """Undo gzip, if `content` starts like it.

    Raises
    ------
    UnreadableContentError
        The bytes are torn.
    """
    if not content.startswith(_GZIP):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise UnreadableContentError(words(error)) from error


def fill(learner: BaseLearner, data: Any) -> None:
    """Give `learner` its data, all of it or nothing.

    Raises
    ------
    UnreadableContentError
        The data is not of such a learner, which is left as it was.
    ImportError, OSError, MemoryError, RecursionError
        The data may be good, but not now or not on this machine.
    """
    parts = _with_inner(learner)
    functions = [part.function for part in parts]
    mappings = _mappings(parts)
    with unchanged_on_error(learner):
        try:
            _set_data(learner, data)
        except NOT_THE_CONTENT:
            raise
        except Exception as error:  # what is wrong with the data may show up anywhere
            reason = f"it has no data of a {type(learner).__name__} ({words(error)})"
            raise UnreadableContentError(reason) from error
        if _mappings(parts) != mappings:  # some take any data, and fail when asked for points
            raise UnreadableContentError(f"it has no data of a {type(learner).__name__}")
        # LearnerND keeps its function among its data; the user may have
        # corrected the function since.
        for part, function in zip(parts, functions, strict=True):
            if part.function is not function:
                part.function = function


@contextmanager
def unchanged_on_error(learner: BaseLearner) -> Iterator[None]:
    """Put `learner` back into its present state if the block raises."""
    parts = _with_inner(learner)
    saved = [(part, _copy_of_state(part, parts)) for part in parts]
    try:
        yield
    except BaseException:  # Ctrl-C as well: a learner is never filled by half
        for part, state in saved:
            vars(part).clear()
            vars(part).update(state)
        raise


def _with_inner(learner: BaseLearner) -> list[BaseLearner]:
    """List `learner` and the learners in it."""
    from adaptive import BalancingLearner, DataSaver

    inner = []
    if isinstance(learner, DataSaver):
        inner = [learner.learner]
    elif isinstance(learner, BalancingLearner):
        inner = learner.learners
    return [learner, *(each for one in inner for each in _with_inner(one))]


def _copy_of_state(learner: BaseLearner, others: list[BaseLearner]) -> dict[str, Any]:
    """Copy what loading may change: not functions, nor sequences, nor the `others`."""
    memo = {
        id(value): value
        for name, value in vars(learner).items()
        if callable(value) or name == "sequence"
    }
    memo.update((id(other), other) for other in others)
    state = {}
    for name, value in vars(learner).items():
        try:
            state[name] = copy.deepcopy(value, memo)
        except Exception:  # noqa: BLE001  a lock, a socket: keep the object itself
            state[name] = value
    return state


def _set_data(learner: BaseLearner, data: Any) -> None:
    from adaptive import DataSaver

    if type(learner)._set_data is DataSaver._set_data:
        learner_data, learner.extra_data = data
        _set_data(learner.learner, learner_data)
    elif can_be_told_in_turn(learner, data):
        tell_in_turn(learner, data)
    else:
        learner._set_data(data)


def _mappings(parts: list[BaseLearner]) -> list[bool]:
    """Say which of the learners' data are mappings from points to values."""
    return [isinstance(getattr(part, name, None), Mapping) for part in parts for name in _DATA]


def words(error: Exception) -> str:
    """Say what was raised."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


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
