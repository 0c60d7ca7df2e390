"""Points that one learner has and another, of the same kind, lacks.

Such points are in what jobs have saved beside the data of learners that were another
job's by then, in files named ``<fname>.superseded-<attempt>-<job>``. These are never
deleted here: their points are added to a learner when it is loaded for the user, where
adaptive can take points from anywhere; else the files are named.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler._common.trusted import open_data
from adaptive_scheduler.errors import UntrustedFileError
from adaptive_scheduler.learners import contents
from adaptive_scheduler.learners.data_file import has_own_format
from adaptive_scheduler.learners.paths import AnyFname, ResolvedFname, is_several, resolve_here

if TYPE_CHECKING:
    from adaptive import BaseLearner

    from adaptive_scheduler.learners.storage import DataFiles

#: What stands between the name of a data file and what tells whose points these are.
MARK = ".superseded-"


def beside(fname: ResolvedFname, attempt: int, job_id: str) -> ResolvedFname:
    """Return the name of a file for the points of a job that has lost its learner."""
    suffix = f"{MARK}{attempt}-{job_id}"
    names = [f"{name}{suffix}" for name in fname.names]
    paths = tuple(path.with_name(path.name + suffix) for path in fname.paths)
    return ResolvedFname(names if is_several(fname) else names[0], paths)


def add_superseded(learners: Sequence[BaseLearner], fnames: Sequence[AnyFname]) -> list[str]:
    """Add to learners what jobs have saved beside their data.

    Parameters
    ----------
    learners, fnames
        The learners, with their own data in them, and the files of that.

    Returns
    -------
    list of str
        What was found and what became of it, in words: a line for each file
        that has brought points, or may have some.
    """
    owners = dict(_owners(learners, fnames))
    files: list[tuple[Path, Path]] = []
    for folder in {path.parent for path in owners}:
        files += [(folder / own, folder / name) for own, name in _listed(folder)]
    added = (_add(*owners[own], path) for own, path in sorted(files) if own in owners)
    return [words for words in added if words]


def _owners(
    learners: Sequence[BaseLearner], fnames: Sequence[AnyFname]
) -> Iterator[tuple[Path, tuple[BaseLearner, Path]]]:
    """Yield each data file with its learner, and with what the user calls it."""
    for learner, fname in zip(learners, fnames, strict=True):
        resolved = resolve_here(fname)
        children = learner.learners if is_several(fname) else [learner]
        yield from zip(resolved.paths, zip(children, resolved.names, strict=True), strict=True)


def _listed(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the superseded files in a folder, each after the name that it lies beside."""
    if folder.is_dir():
        with os.scandir(folder) as entries:
            for entry in entries:
                own, mark, _ = entry.name.partition(MARK)
                if mark:
                    yield own, entry.name


def _add(learner: BaseLearner, name: Path, path: Path) -> str:
    """Add the points in `path`, beside the data file `name`; return what became of them."""
    shown = name.with_name(path.name)
    if not can_merge(learner):
        return f"{shown} holds points of a job that had lost its learner: load it by itself."
    other = learner.new()
    try:
        with open_data(path) as opened:
            if opened.owner:  # nobody has named this file: it was found beside the data
                return f"{shown} was not read: it belongs to {opened.owner}."
            content = opened.file.read()
        contents.fill(other, contents.decode(content))
    except UntrustedFileError as error:
        return str(error)
    except (*contents.NOT_THE_CONTENT, AttributeError, contents.UnreadableContentError) as error:
        return f"{shown} can't be read: {contents.words(error)}."
    n_points = merge(learner, other)
    if not n_points:
        return ""
    return f"{shown} has brought {n_points} points of a job that had lost its learner."


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
