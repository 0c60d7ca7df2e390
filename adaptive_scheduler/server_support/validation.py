"""Checks of what users give, before anything is written or submitted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.learners.paths import (
    AnyFname,
    FnameTypes,
    Project,
    fname_to_paths,
    given_name,
)
from adaptive_scheduler.run_folder.checks import check_job_name
from adaptive_scheduler.scheduler.base import BaseScheduler

if TYPE_CHECKING:
    from adaptive import BaseLearner

Item = TypeVar("Item")


def checked_list(name: str, values: Iterable[Item]) -> list[Item]:
    """Return values as a list.

    Raises
    ------
    InvalidInputError
        If they are a single value, or have no order.
    """
    if isinstance(values, str | Mapping | set | frozenset) or not isinstance(values, Iterable):
        raise InvalidInputError(
            f"`{name}` is a list with one element for each learner, not a {type(values).__name__}."
        )
    return list(values)


def check_scheduler(scheduler: object) -> None:
    """Check that this is a scheduler.

    Raises
    ------
    InvalidInputError
        If it isn't.
    """
    if isinstance(scheduler, type) and issubclass(scheduler, BaseScheduler):
        name = scheduler.__name__
        raise InvalidInputError(f"`scheduler` is the class {name}: give {name}(...) instead.")
    if not isinstance(scheduler, BaseScheduler):
        raise InvalidInputError(
            f"`scheduler` is one such as Local(cores=1), not a {type(scheduler).__name__}."
        )


def check_learners(
    learners: Sequence[BaseLearner], fnames: Sequence[AnyFname], project: Project
) -> None:
    """Check that these are learners, and that each has a data file of its own in a project.

    Raises
    ------
    InvalidInputError
        If there are none, their numbers differ, or a file name occurs twice or
        is none.
    """
    if len(learners) == 0:
        raise InvalidInputError("`learners` is empty: there is nothing to run.")
    if len(learners) != len(fnames):
        raise InvalidInputError(
            f"Each learner needs one fname, but there are {len(learners)} learners "
            f"and {len(fnames)} fnames."
        )
    owners: dict[str, int] = {}
    for index, (learner, fname) in enumerate(zip(learners, fnames, strict=True)):
        _check_names(index, given_name(fname))
        _check_kind(index, learner, given_name(fname))
        resolved = project.resolve(fname)
        for path, name in zip(resolved.paths, resolved.names, strict=True):
            place = os.path.normpath(path)
            if place in owners:
                raise InvalidInputError(
                    f"Learners {owners[place]} and {index} have the same fname '{name}': "
                    "one would overwrite the other's data."
                )
            owners[place] = index


def _check_kind(index: int, learner: BaseLearner, fname: FnameTypes) -> None:
    from adaptive import BaseLearner

    if not isinstance(learner, BaseLearner):
        raise InvalidInputError(
            f"Learner {index} is a {type(learner).__name__} and no learner of adaptive."
        )
    children = getattr(learner, "learners", None)  # of a BalancingLearner
    is_list = isinstance(fname, list | tuple)
    if isinstance(children, list) and not is_list:
        raise InvalidInputError(
            f"Learner {index} is a BalancingLearner: its fname is a list with a file name for "
            f"each of its {len(children)} learners, not {fname!r}."
        )
    if is_list and (not isinstance(children, list) or len(children) != len(fname_to_paths(fname))):
        n_children = len(children) if isinstance(children, list) else 1
        raise InvalidInputError(
            f"Learner {index} wants {n_children} fname(s), but got {len(fname_to_paths(fname))}."
        )


def _check_names(index: int, fname: object) -> None:
    for name in fname if isinstance(fname, list | tuple) else [fname]:
        if not isinstance(name, str | Path) or not Path(name).name:
            raise InvalidInputError(
                f"The fname of learner {index} is {name!r}: give the name of a file, as a str or "
                "a Path."
            )


def check_initializers(initializers: Sequence[object] | None, n_learners: int) -> None:
    """Check that there is an initializer for each learner, if there are any.

    Raises
    ------
    InvalidInputError
        If there are more or fewer, or one can't be called.
    """
    if initializers is None:
        return
    initializers = checked_list("initializers", initializers)
    if len(initializers) != n_learners:
        raise InvalidInputError(
            f"There are {len(initializers)} initializers for {n_learners} learners: give one for "
            "each learner."
        )
    for index, initializer in enumerate(initializers):
        if initializer is not None and not callable(initializer):
            raise InvalidInputError(f"Initializer {index} is no function: {initializer!r}.")


def check_folders(folders: Iterable[Path], what_for: str) -> None:
    """Check that files can be written in these folders, as far as they exist.

    Raises
    ------
    InvalidInputError
        If one can't be made, or nothing can be written there.
    """
    for folder in dict.fromkeys(folder.absolute() for folder in folders):
        existing = next(each for each in (folder, *folder.parents) if each.exists())
        if not existing.is_dir():
            raise InvalidInputError(f"{what_for} can't lie in '{folder}': '{existing}' is a file.")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise InvalidInputError(
                f"{what_for} can't lie in '{folder}': you may not write in '{existing}'."
            )


def common_beginning(job_names: Sequence[str], n_learners: int) -> str:
    """Return what the names of all jobs begin with.

    Raises
    ------
    InvalidInputError
        If the names are not ``"{name}-0"``, ``"{name}-1"`` and so on.
    """
    if not job_names:
        raise InvalidInputError("`job_names` is empty: there would be no jobs.")
    name = job_names[0].rpartition("-")[0]
    if list(job_names) != [f"{name}-{i}" for i in range(len(job_names))]:
        raise InvalidInputError(
            "`job_names` must be '{name}-0', '{name}-1' and so on: the number says for which "
            f"learner a job is submitted. They begin with {job_names[0]!r}."
        )
    if len(job_names) > n_learners:
        raise InvalidInputError(f"There are {len(job_names)} job names for {n_learners} learners.")
    check_job_name("job_names", name)
    return name
