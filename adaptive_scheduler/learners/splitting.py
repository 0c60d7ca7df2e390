"""Shuffle and split lists of learners and sequences, so that each job gets its share."""

from __future__ import annotations

import math
import random
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.learners.paths import hash_anything

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from adaptive import BalancingLearner, BaseLearner, SequenceLearner

__all__ = [
    "combine_sequence_learners",
    "copy_from_sequence_learner",
    "shuffle_list",
    "split",
    "split_in_balancing_learners",
    "split_sequence_in_sequence_learners",
    "split_sequence_learner",
]

T = TypeVar("T")


def shuffle_list(*lists: Iterable[Any], seed: int | None = 0) -> Iterator[tuple[Any, ...]]:
    """Shuffle several lists in the same way.

    Parameters
    ----------
    *lists
        What to shuffle: all of the same length. They are not changed.
    seed
        The same seed gives the same order; None gives another one each time.

    Returns
    -------
    iterator
        For each list a tuple with its elements in the new order.

    Raises
    ------
    InvalidInputError
        The lists have different lengths.

    Examples
    --------
    >>> learners, fnames = shuffle_list(learners, fnames)
    """
    columns = [tuple(column) for column in lists]
    if len({len(column) for column in columns}) > 1:
        lengths = ", ".join(str(len(column)) for column in columns)
        raise InvalidInputError(
            f"Lists are shuffled in the same way only if they are equally long; these have "
            f"{lengths} elements."
        )
    order = list(range(len(columns[0]))) if columns else []
    random.Random(seed).shuffle(order)  # noqa: S311  an order, not a secret
    return iter([tuple(column[i] for i in order) for column in columns])


def split(seq: Iterable[T], n_parts: int) -> Iterator[tuple[T, ...]]:
    """Split a sequence into consecutive parts.

    Parameters
    ----------
    seq
        What to split.
    n_parts
        How many parts at most. All parts but the last one have the same
        size, so there may be fewer: five elements in four parts are 2, 2, 1.

    Returns
    -------
    iterator
        Tuples that together hold all elements in their order.

    Raises
    ------
    InvalidInputError
        `n_parts` is less than one.
    """
    if n_parts < 1:
        raise InvalidInputError(f"Nothing can be split into n_parts={n_parts}: use 1 or more.")
    elements = tuple(seq)
    size = math.ceil(len(elements) / n_parts)
    remaining = iter(elements)
    return iter(lambda: tuple(islice(remaining, size)), ())


def split_in_balancing_learners(
    learners: Sequence[BaseLearner],
    fnames: Sequence[str] | Sequence[Path],
    n_parts: int,
    strategy: str = "npoints",
) -> tuple[list[BalancingLearner], list[list[str]] | list[list[Path]]]:
    """Put many learners into a few `adaptive.BalancingLearner`, one for each job.

    Parameters
    ----------
    learners
        Learners of one type.
    fnames
        Their files.
    n_parts
        How many balancing learners to make at most; see `split`.
    strategy
        How each of them chooses the learner that gets the next point:
        ``"npoints"``, ``"loss"``, ``"loss_improvements"`` or ``"cycle"``.

    Returns
    -------
    tuple
        The balancing learners, and for each the list of its learners' files.

    Raises
    ------
    InvalidInputError
        `learners` and `fnames` differ in length, or `n_parts` is less than one.
    ValueError
        `adaptive` knows no such strategy.
    """
    from adaptive import BalancingLearner

    if len(learners) != len(fnames):
        raise InvalidInputError(
            f"Each learner needs its own file, but there are {len(learners)} learners "
            f"and {len(fnames)} fnames."
        )
    parts = [list(part) for part in split(learners, n_parts)]
    balancing_learners = [BalancingLearner(part, strategy=strategy) for part in parts]
    fname_parts = [list(part) for part in split(fnames, n_parts)]
    return balancing_learners, cast("list[list[str]] | list[list[Path]]", fname_parts)


def split_sequence_in_sequence_learners(
    function: Callable[[Any], Any],
    sequence: Sequence[Any],
    n_learners: int,
    folder: str | Path = "",
) -> tuple[list[SequenceLearner], list[str]]:
    """Make several learners that together evaluate a sequence.

    Parameters
    ----------
    function
        What to evaluate; it takes one element of `sequence`.
    sequence
        The points.
    n_learners
        How many learners to make at most; see `split`.
    folder
        Where the learners' files are.

    Returns
    -------
    tuple
        The learners, and their files. A file is named after the first point
        and the number of points, not after the function or the other points:
        use another `folder` for another function or sequence.

    Raises
    ------
    InvalidInputError
        `n_learners` is less than one.
    UnpicklableError
        A part's first point can't be pickled.
    """
    from adaptive import SequenceLearner

    parts = list(split(sequence, n_learners))
    learners = [SequenceLearner(function, part) for part in parts]
    return learners, [str(Path(folder) / name) for name in _file_names(parts)]


def split_sequence_learner(
    big_learner: SequenceLearner, n_learners: int, folder: str | Path = ""
) -> tuple[list[SequenceLearner], list[str]]:
    """Cut a learner into several that together do its work.

    They start with the data that `big_learner` has. `combine_sequence_learners`
    does the reverse.

    Parameters
    ----------
    big_learner
        The learner to cut; it is not changed.
    n_learners, folder
        As in `split_sequence_in_sequence_learners`.

    Returns
    -------
    tuple
        The learners, and their files.
    """
    learners, fnames = split_sequence_in_sequence_learners(
        _function(big_learner), big_learner.sequence, n_learners, folder
    )
    start = 0
    for learner in learners:
        for i, point in enumerate(learner.sequence):
            if start + i in big_learner.data:
                learner.tell((i, point), big_learner.data[start + i])
        start += len(learner.sequence)
    return learners, fnames


def combine_sequence_learners(
    learners: Sequence[SequenceLearner], big_learner: SequenceLearner | None = None
) -> SequenceLearner:
    """Put learners together, one after the other.

    Parameters
    ----------
    learners
        Parts of a sequence, in their order. They are not changed.
    big_learner
        A learner of the whole sequence, in the same order, that gets the
        data. By default a new one is made.

    Returns
    -------
    SequenceLearner
        `big_learner`, or the new learner, with the data of all `learners`.

    Raises
    ------
    InvalidInputError
        There are no learners, or `big_learner` is longer or shorter than they
        are together.
    """
    from adaptive import SequenceLearner

    sequence = [point for learner in learners for point in learner.sequence]
    if big_learner is None:
        if not learners:
            raise InvalidInputError("There are no learners to combine.")
        big_learner = SequenceLearner(_function(learners[0]), sequence)
    elif len(big_learner.sequence) != len(sequence):
        raise InvalidInputError(
            f"The learners have {len(sequence)} points, but big_learner has "
            f"{len(big_learner.sequence)}: use copy_from_sequence_learner to copy only the "
            "points that both have."
        )
    start = 0
    for learner in learners:
        for i, value in learner.data.items():
            big_learner.tell((start + i, sequence[start + i]), value)
        start += len(learner.sequence)
    return big_learner


def copy_from_sequence_learner(learner_from: SequenceLearner, learner_to: SequenceLearner) -> None:
    """Copy the data of all points that both learners have, wherever they stand.

    Points are the same if they have the same `hash_anything`: 1 and 1.0 are
    two points.

    Parameters
    ----------
    learner_from
        Where the data is.
    learner_to
        Where it goes, over data that is already there.

    Raises
    ------
    UnpicklableError
        A point can't be pickled.
    """
    values = {hash_anything(learner_from.sequence[i]): v for i, v in learner_from.data.items()}
    for i, point in enumerate(learner_to.sequence):
        key = hash_anything(point)
        if key in values:
            learner_to.tell((i, point), values[key])


def _file_names(parts: list[tuple[Any, ...]]) -> Iterator[str]:
    """Name each part's file, as users' data is named, and differently from the other parts."""
    seen: Counter[str] = Counter()
    for part in parts:
        name = hash_anything((part[0], len(part)))
        yield f"{name}_{seen[name]}.pickle" if name in seen else f"{name}.pickle"
        seen[name] += 1


def _function(learner: SequenceLearner) -> Callable[[Any], Any]:
    """Return the function of a point; ``learner.function`` takes an index, too."""
    function: Callable[[Any], Any] = learner._original_function  # noqa: SLF001  no public name
    return function
