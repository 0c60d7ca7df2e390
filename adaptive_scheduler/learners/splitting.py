"""Shuffle and split lists of learners, so that each job gets its share."""

from __future__ import annotations

import math
import random
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

from adaptive_scheduler.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from adaptive import BalancingLearner, BaseLearner

__all__ = ["shuffle_list", "split", "split_in_balancing_learners"]

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
    # Here, because the other functions of this module don't need adaptive.
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
