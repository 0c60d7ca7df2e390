"""Learners without their points, where these lie safely in data files."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler.learners.paths import AnyFname, fname_to_paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from adaptive import BaseLearner


def empty_copy(learner: BaseLearner) -> BaseLearner:
    """Return a learner like `learner` without points, or `learner` if there is no way.

    ``new()`` of a class of the user's may be inherited, and then makes a
    learner of another class.
    """
    if not learner.npoints and not learner.pending_points:
        return learner
    try:
        copy = learner.new()
    except Exception:  # noqa: BLE001  without a `new` of its own, a learner travels as it is
        return learner
    return copy if _kinds(copy) == _kinds(learner) else learner


def safe_to_empty(learners: Sequence[BaseLearner], fnames: Sequence[AnyFname]) -> list[bool]:
    """Say for each learner whether its points are on disk, as far as the names of files tell."""
    paths = [
        fname_to_paths(fname) if learner.npoints else []
        for learner, fname in zip(learners, fnames, strict=True)
    ]
    existing = _existing(path for each in paths for path in each)
    return [all(path in existing for path in each) for each in paths]


def _existing(paths: Iterable[Path]) -> set[Path]:
    """Find out which files exist: folder by folder, since asking for each takes longer."""
    by_folder = defaultdict(list)
    for path in paths:
        by_folder[path.parent].append(path)
    existing: set[Path] = set()
    for folder, members in by_folder.items():
        try:
            with os.scandir(folder) as entries:
                names = {entry.name for entry in entries if entry.is_file()}
        except FileNotFoundError:
            continue
        except OSError:  # a folder that can't be listed may have files that can be read
            existing.update(path for path in members if path.is_file())
        else:
            existing.update(path for path in members if path.name in names)
    return existing


def _kinds(learner: BaseLearner) -> list[type]:
    """List the classes of `learner` and of the learners in it."""
    inner = [getattr(learner, "learner", None), *getattr(learner, "learners", ())]
    return [type(learner), *(kind for each in inner if each is not None for kind in _kinds(each))]
