"""Getting a learner back from the name of its data file.

A learner is found in the pack of a run, or in a file of its own, which
`cloudpickle_learners` writes beside the data: ``.learner.<name>``, for a
`BalancingLearner` ``.<number>_learners.<name of the first>``.
"""

from __future__ import annotations

import os
import pickle
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler._common.atomic import atomic_write
from adaptive_scheduler._common.progress import tracked
from adaptive_scheduler._common.trusted import read_trusted
from adaptive_scheduler.errors import (
    LearnerNotFoundError,
    RunFolderError,
    UnpicklableError,
)
from adaptive_scheduler.learners.pack import Pack, empty_copy, initializer_of_each
from adaptive_scheduler.learners.paths import FnameTypes, fname_to_paths, fname_to_str
from adaptive_scheduler.learners.pickling import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from adaptive import BaseLearner

__all__ = ["cloudpickle_learners", "fname_to_learner", "fname_to_learner_fname"]

#: Where a pack is, seen from the folder in which its run was started.
_PACKS = "*-run/learners.pack"

#: How many folders above its data file a run may have been started in.
_LEVELS = 4


def fname_to_learner_fname(fname: FnameTypes) -> Path:
    """Name the file beside the data in which `cloudpickle_learners` keeps the learner.

    Examples
    --------
    >>> str(fname_to_learner_fname("data/x_1.pickle"))
    'data/.learner.x_1.pickle'
    """
    names = fname_to_str(fname)
    if isinstance(names, str):
        path = Path(names)
        return path.with_name(f".learner.{path.name}")
    path = Path(names[0])
    return path.with_name(f".{len(names):08}_learners.{path.name}")


def cloudpickle_learners(
    learners: Sequence[BaseLearner],
    fnames: Sequence[FnameTypes],
    *,
    initializers: Sequence[Callable[[], None]] | None = None,
    with_progress_bar: bool = False,
    empty_copies: bool = True,
) -> tuple[int, float]:
    """Write each learner into a file of its own, beside its data.

    Runs don't need this: they keep all learners in one file.

    Parameters
    ----------
    learners
        The learners.
    fnames
        Their data files.
    initializers
        For each learner, what each worker runs first.
    with_progress_bar
        Show how many are written.
    empty_copies
        Leave the points out.

    Returns
    -------
    n_bytes : int
        The size of all files.
    seconds : float
        The time that it took.

    Raises
    ------
    UnpicklableError
        A learner can't be pickled.
    """
    start = time.monotonic()
    first_calls = initializer_of_each(learners, fnames, initializers)
    n_bytes = 0
    for i in tracked(range(len(learners)), "Writing learners", shown=with_progress_bar):
        learner = empty_copy(learners[i]) if empty_copies else learners[i]
        parts = {"learner": learner, "initializer": first_calls[i]}
        content = dumps(parts, f"Learner {i} ({fname_to_str(fnames[i])!r})")
        with atomic_write(fname_to_learner_fname(fnames[i]), "wb", permissions=0o644) as file:
            n_bytes += file.write(content)
    return n_bytes, time.monotonic() - start


def fname_to_learner(fname: FnameTypes, *, return_initializer: bool = False) -> Any:
    """Return the learner whose data is saved as `fname`, as it was when its run was started.

    It is looked for in the packs of runs that were started in the current
    folder, in that of `fname`, or up to four folders above, and in the file
    that `cloudpickle_learners` wrote. Where several know it, the newest counts.

    Parameters
    ----------
    fname
        Its data file, or files for a `BalancingLearner`.
    return_initializer
        Return (learner, initializer).

    Raises
    ------
    LearnerNotFoundError
        Nothing there knows this fname.
    UnpicklableError
        The learner refers to something that can't be imported here.
    RunFolderError
        The pack that knows it is damaged.
    UntrustedFileError
        Another user may have written the learner's file, and unpickling would run their code.
        Packs that another user may have written are left out.
    """
    learner_file = fname_to_learner_fname(fname).expanduser()
    packed = _find_packed(fname)
    if packed is None or _is_newer(learner_file, packed[0]):
        learner, initializer = _read_learner_file(learner_file, fname)
    else:
        path, index = packed
        found = Pack(path).read(index)
        learner, initializer = found.learner, found.initializer
    return (learner, initializer) if return_initializer else learner


def _read_learner_file(path: Path, fname: FnameTypes) -> tuple[BaseLearner, Any]:
    try:
        content = read_trusted(path, follow_link=True)
    except FileNotFoundError as error:
        raise LearnerNotFoundError(
            f"No learner is known for {fname_to_str(fname)}: there is no {path}, and no folder "
            f"beside it or above has a run ({_PACKS}) with this fname. If its run folder is "
            "elsewhere, read from `Pack(...)` in adaptive_scheduler.learners.pack."
        ) from error
    try:
        learner, initializer = pickle.loads(content)
    except Exception as error:  # unpickling runs the user's code
        raise UnpicklableError(
            f"{path} can't be loaded: {type(error).__name__}: {error}"
        ) from error
    return learner, initializer


def _is_newer(path: Path, other: Path) -> bool:
    try:
        return path.stat().st_mtime > other.stat().st_mtime
    except FileNotFoundError:
        return False


def _find_packed(fname: FnameTypes) -> tuple[Path, int] | None:
    """Find the newest pack in the nearest folder that knows `fname`, and where it is in there."""
    key = _key(fname_to_str(fname), Path.cwd())
    for folder in _folders_around(fname):
        known = []
        for path in folder.glob(_PACKS):
            status = path.stat()
            index = _indices(path, status.st_mtime_ns, status.st_ino).get(key)
            if index is not None:
                known.append((status.st_mtime_ns, path, index))
        if known:
            _, path, index = max(known)
            return path, index
    return None


def _folders_around(fname: FnameTypes) -> Iterator[Path]:
    nearest = fname_to_paths(fname)[0].parent
    yield from dict.fromkeys([Path.cwd(), nearest, *list(nearest.parents)[:_LEVELS]])


@lru_cache(maxsize=16)
def _indices(path: Path, mtime_ns: int, inode: int) -> dict[tuple[str, ...], int]:
    """Map the absolute fnames in a pack to indices; the arguments change when the pack does.

    A run that was moved to another place together with its data counts from
    the folder that its run folder is in now.
    """
    del mtime_ns, inode
    try:
        pack = Pack(path)
        fnames, folders = pack.fnames, (path.parent.parent, pack.folder)
    except RunFolderError:  # not the only place to look; another user may have left it there
        return {}
    return {_key(fname, folder): i for folder in folders for i, fname in enumerate(fnames)}


def _key(fname: str | list[str], folder: Path) -> tuple[str, ...]:
    names = [fname] if isinstance(fname, str) else fname
    return tuple(os.path.normpath(folder / Path(name).expanduser()) for name in names)
