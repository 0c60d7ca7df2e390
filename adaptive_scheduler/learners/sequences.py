"""Cut a `SequenceLearner` into several, and put them together again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive import SequenceLearner

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.learners.file_names import hash_anything
from adaptive_scheduler.learners.splitting import split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "combine_sequence_learners",
    "copy_from_sequence_learner",
    "split_sequence_in_sequence_learners",
    "split_sequence_learner",
]


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
