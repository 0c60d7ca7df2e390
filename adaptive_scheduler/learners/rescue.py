"""Points of jobs whose folders were moved or deleted while they ran.

Such a job does not make its folders again: somebody else may have the learner
by now. It saves what it has into a folder of its own, named
``<learner>.<attempt>-<job>``, in the folder ``rescue`` of the run, or in the
temporary folder of its node if the run folder is gone. These folders are never
deleted here; points of theirs that a learner lacks are added when it is loaded.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler.errors import DataFileError
from adaptive_scheduler.learners.data_file import has_own_format
from adaptive_scheduler.learners.merging import can_merge, load_if_more, merge
from adaptive_scheduler.learners.paths import ResolvedFname, is_several
from adaptive_scheduler.learners.storage import DataFiles

if TYPE_CHECKING:
    from adaptive import BaseLearner

_NAME = re.compile(r"(\d+)\.\d+-.+")


def rescue_name(learner: int, attempt: int, job_id: str) -> str:
    """Name the folder for the points of one attempt."""
    return f"{learner}.{attempt}-{job_id}"


def node_rescue(run_id: str) -> Path:
    """Return where jobs on this node rescue points of a run that they can't reach."""
    return Path(tempfile.gettempdir(), f"adaptive-scheduler-rescue-{os.getuid()}-{run_id}")


def save_rescue(learner: BaseLearner, fname: ResolvedFname, folder: Path) -> None:
    """Save all that a learner has into `folder`, which is made, as its parent, for us only.

    Raises
    ------
    DataFileError, OSError
        If that can't be done.
    """
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    if not _is_ours(folder.parent.stat()):
        raise PermissionError(errno.EPERM, "belongs to others", str(folder.parent))
    folder.mkdir(mode=0o700)
    DataFiles(learner, _within(folder, fname)).save()


def remove_rescue(folder: Path) -> None:
    """Remove a folder that `save_rescue` has made, and the one for the run if it was the last."""
    shutil.rmtree(folder)
    with suppress(OSError):  # others are in there
        folder.parent.rmdir()


def copy_into(run_folder: int, source: Path) -> None:
    """Copy a folder of rescued files into the run folder that a descriptor leads to.

    That folder may have any name by now. What is copied shows up as a whole.

    Parameters
    ----------
    run_folder
        The descriptor.
    source
        What `save_rescue` has made.

    Raises
    ------
    OSError
        If the run folder was deleted, or can't be written.
    """
    with suppress(FileExistsError):
        os.mkdir("rescue", 0o700, dir_fd=run_folder)
    rescue = os.open("rescue", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=run_folder)
    try:
        new = f".{source.name}.new"
        os.mkdir(new, 0o700, dir_fd=rescue)
        for path in source.iterdir():
            _copy(path, f"{new}/{path.name}", rescue)
        os.rename(new, source.name, src_dir_fd=rescue, dst_dir_fd=rescue)
        os.fsync(rescue)
    finally:
        os.close(rescue)


def add_rescued(
    learners: Sequence[BaseLearner],
    fnames: Sequence[ResolvedFname],
    folders: Iterable[Path],
    *,
    indices: Sequence[int] | None = None,
) -> list[str]:
    """Add to learners what jobs have rescued.

    Parameters
    ----------
    learners, fnames
        The learners, with their own data in them, and the files of that.
    folders
        Where rescued points may be.
    indices
        The numbers of these learners in the run; 0, 1 and so on if not given.

    Returns
    -------
    list of str
        What was found and what became of it: a line for each folder that has
        brought points, or may have some.
    """
    numbers = range(len(learners)) if indices is None else indices
    place = {number: i for i, number in enumerate(numbers)}
    lines = []
    for folder in folders:
        for number, path in _listed(folder):
            if (i := place.get(number)) is not None:
                lines.append(_add(learners[i], fnames[i], path))
    return [line for line in lines if line]


def _listed(folder: Path) -> Iterator[tuple[int, Path]]:
    """Yield what was rescued into a folder, each with the number of its learner."""
    try:
        with os.scandir(folder) as entries:
            if not _is_ours(folder.stat()):
                return  # unpickling runs code, and others may write into a temporary folder
            names = sorted(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if match := _NAME.fullmatch(name):
            yield int(match[1]), folder / name


def _is_ours(status: os.stat_result) -> bool:
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _add(learner: BaseLearner, fname: ResolvedFname, folder: Path) -> str:
    within = _within(folder, fname)
    try:
        n_points = sum(_load(each, one) for each, one in _parts(learner, within))
    except DataFileError as error:
        return f"Points in {folder} can't be read: {error}"
    if not n_points:
        return ""
    return f"{folder} has brought {n_points} points of a job whose folder was moved or deleted."


def _parts(
    learner: BaseLearner, fname: ResolvedFname
) -> Iterator[tuple[BaseLearner, ResolvedFname]]:
    """Yield the learners that are saved one by one, each with its file."""
    if not is_several(fname) or has_own_format(learner):
        yield learner, fname
        return
    for child, path in zip(learner.learners, fname.paths, strict=True):
        yield child, ResolvedFname(path, (path,))


def _load(learner: BaseLearner, fname: ResolvedFname) -> int:
    """Add what a file has to a learner, and return how many points that were."""
    if not can_merge(learner):
        return load_if_more(learner, DataFiles(learner, fname))
    other = learner.new()
    DataFiles(other, fname).load()
    return merge(learner, other)


def _within(folder: Path, fname: ResolvedFname) -> ResolvedFname:
    """Return what the data files of a learner are called in a folder of rescued points."""
    paths = tuple(folder / f"{i}-{path.name}" for i, path in enumerate(fname.paths))
    return ResolvedFname(list(paths) if is_several(fname) else paths[0], paths)


def _copy(source: Path, name: str, folder: int) -> None:
    content = source.read_bytes()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, 0o600, dir_fd=folder), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
