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
from contextlib import contextmanager, suppress
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


def rescue_folders(run_folder: Path, run_id: str) -> list[Path]:
    """Return where points of a run may have been rescued to, as seen from this node.

    Parameters
    ----------
    run_folder
        Its folder ``rescue``.
    run_id
        Its id; empty if that is not known, and then nothing on the node can be told to be its.
    """
    return [run_folder, node_rescue(run_id)] if run_id else [run_folder]


def save_rescue(learner: BaseLearner, fname: ResolvedFname, folder: Path) -> None:
    """Save all that a learner has into `folder`, which is made, as its parent, for us only.

    Raises
    ------
    DataFileError, OSError
        If that can't be done.
    """
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    status = folder.parent.lstat()
    if not (stat.S_ISDIR(status.st_mode) and _is_ours(status)):
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
        with _opened(folder) as parent:
            for name in [] if parent is None else sorted(os.listdir(parent)):  # noqa: PTH208
                match = _NAME.fullmatch(name)
                if match is None or (i := place.get(int(match[1]))) is None:
                    continue
                with _opened(name, within=parent) as rescued:
                    if rescued is not None:
                        lines.append(_add(learners[i], fnames[i], folder / name, rescued))
    return [line for line in lines if line]


@contextmanager
def _opened(folder: str | Path, within: int | None = None) -> Iterator[int | None]:
    """Open a folder that only we can write into, itself and not through a link; else None."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(folder, flags, dir_fd=within)
    except OSError:
        yield None
        return
    try:
        yield descriptor if _is_ours(os.fstat(descriptor)) else None
    finally:
        os.close(descriptor)


def _is_ours(status: os.stat_result) -> bool:
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@contextmanager
def _own_copy(folder: int) -> Iterator[Path]:
    """Copy the files in an open folder, checked one by one, to where nobody else can write.

    Loading runs code that lies in them, and others may write into a temporary folder.

    Raises
    ------
    OSError
        If one can't be read, or is not ours.
    """
    with tempfile.TemporaryDirectory(prefix="adaptive-scheduler-") as copy:
        for name in os.listdir(folder):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as file:
                status = os.fstat(file.fileno())
                if not (stat.S_ISREG(status.st_mode) and _is_ours(status)):
                    raise PermissionError(errno.EPERM, "is no file that only you can write", name)
                Path(copy, name).write_bytes(file.read())
        yield Path(copy)


def _add(learner: BaseLearner, fname: ResolvedFname, rescued: Path, folder: int) -> str:
    """Add what lies in an open folder, which is called `rescued`; return what became of it."""
    try:
        with _own_copy(folder) as copy:
            n_points = sum(_load(each, one) for each, one in _parts(learner, _within(copy, fname)))
    except (DataFileError, OSError) as error:
        return f"Points in {rescued} can't be read: {error}"
    if not n_points:
        return ""
    return f"{rescued} has brought {n_points} points of a job whose folder was moved or deleted."


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
