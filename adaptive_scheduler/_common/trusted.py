"""Files that are safe to unpickle: nobody but the user, or root, can have written them.

Unpickling a file runs what its writer wants. So each such file is opened once, checked
on that descriptor, and read from it. Whoever may rename folders on the way to the file
can have another one opened, but not one of theirs read.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from adaptive_scheduler._common.revalidate import revalidate
from adaptive_scheduler.errors import InvalidInputError, UntrustedFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Names folders below which every file is trusted, for file systems without owners or modes.
TRUST_VARIABLE = "ADAPTIVE_SCHEDULER_TRUST"

_ROOT = 0
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class OpenFile:
    """An open file, and who else may have written it.

    Attributes
    ----------
    file
        The file, at its beginning.
    status
        What `os.fstat` said of it.
    owner
        Whose it is; the empty string if it is the user's, root's, or trusted by its place.
    writers
        Who may have written it, besides the user and root: "alice", "group physics",
        "anybody"; the empty string if nobody else can have.
    """

    file: BinaryIO
    status: os.stat_result
    owner: str
    writers: str


def read_trusted(
    path: str | os.PathLike[str],
    *,
    trust: bool = False,
    private: bool = False,
    follow_link: bool = False,
) -> bytes:
    """Return the content of a file that is safe to unpickle; see `open_trusted`."""
    with open_trusted(path, trust=trust, private=private, follow_link=follow_link) as file:
        return file.read()


@contextmanager
def open_trusted(
    path: str | os.PathLike[str],
    *,
    trust: bool = False,
    private: bool = False,
    follow_link: bool = False,
) -> Iterator[BinaryIO]:
    """Open a file that only the user or root can have written; close it when the block ends.

    Parameters
    ----------
    path
        The file.
    trust
        Accept whatever lies there: the user has said that they trust its owner.
    private
        Accept it only if nobody else can read it, either: it holds secrets.
    follow_link
        Accept a symbolic link in the place of the file. Links in the place of folders
        are always followed.

    Raises
    ------
    UntrustedFileError
        Another user owns it or can write it (with `private`: or read it), or it is no
        regular file. It was not read.
    OSError
        It can't be opened.

    Examples
    --------
    >>> with open_trusted("sweep-run/functions.pickle") as file:  # doctest: +SKIP
    ...     functions = cloudpickle.load(file)
    """
    with _opened(path, follow_link=trust or follow_link) as (file, status):
        reason = "" if trust else _objection(path, status, private=private)
        if reason and not _is_below_trusted_folder(path, status):
            raise UntrustedFileError(f"{Path(path)} was not read: {reason}")
        yield file


@contextmanager
def open_data(path: str | os.PathLike[str]) -> Iterator[OpenFile]:
    """Open a data file, whoever has written it, and say who else may have.

    People share folders of data. Whoever loads such a file is to warn of its `writers`.

    Raises
    ------
    OSError
        It can't be opened.
    UntrustedFileError
        It is no regular file.
    """
    with _opened(path, follow_link=True) as (file, status):
        owner = "" if _is_owned(status) else user_name(status.st_uid)
        writers = owner or _other_writers(status)
        if writers and _is_below_trusted_folder(path, status):
            owner = writers = ""
        yield OpenFile(file, status, owner, writers)


@contextmanager
def _opened(
    path: str | os.PathLike[str], *, follow_link: bool
) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    revalidate(Path(path).parent)
    # A pipe in the place of the file must not make us wait for a writer.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow_link else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP and not follow_link:
            raise UntrustedFileError(
                f"{Path(path)} was not read: it is a symbolic link. Put the file itself there."
            ) from error
        raise
    with open(descriptor, "rb") as file:  # noqa: PTH123  a descriptor, not a path
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise UntrustedFileError(f"{Path(path)} was not read: it is no regular file.")
        yield file, status


def _objection(path: str | os.PathLike[str], status: os.stat_result, *, private: bool) -> str:
    """Return why a file is not trusted, and what to do; the empty string if it is."""
    mode = stat.S_IMODE(status.st_mode)
    if not _is_owned(status):
        return (
            f"it belongs to {user_name(status.st_uid)}, and reading it could run their code as "
            "you. If you trust them and want that, attach to their run with `trust=True`. "
            f"{_way_out(path)}"
        )
    if mode & (_OPEN_TO_OTHERS if private else _WRITABLE_BY_OTHERS):
        what, cure = ("readable or ", "go-rwx") if private else ("", "go-w")
        return (
            f"it is {what}writable by others (mode {mode:04o}). If nobody has changed it, run "
            f"`chmod {cure} '{Path(path)}'`. {_way_out(path)}"
        )
    return ""


def _way_out(path: str | os.PathLike[str]) -> str:
    return (
        "Where a file system has no owners or modes of its own (some network and FUSE mounts), "
        f"set the environment variable {TRUST_VARIABLE} to a folder, for example "
        f"{TRUST_VARIABLE}='{Path(path).absolute().parent}': everything below it is then trusted."
    )


def _is_owned(status: os.stat_result) -> bool:
    return status.st_uid in (os.geteuid(), _ROOT)


def _other_writers(status: os.stat_result) -> str:
    """Name those whom the mode of a file of the user's lets write it."""
    if status.st_mode & stat.S_IWOTH:
        return "anybody"
    if status.st_mode & stat.S_IWGRP:
        return _others_in_group(status.st_gid)
    return ""


@lru_cache(maxsize=64)
def _others_in_group(gid: int) -> str:
    """Name a group that may have members besides the user; "" for the one that is theirs alone.

    Many systems give each user a group of their own name, and let files be writable by it.
    """
    try:
        group, user = grp.getgrgid(gid), pwd.getpwuid(os.geteuid())
    except KeyError:
        return f"group {gid}"
    is_own = gid == user.pw_gid and group.gr_name == user.pw_name
    return "" if is_own and set(group.gr_mem) <= {user.pw_name} else f"group {group.gr_name}"


def user_name(uid: int) -> str:
    """Return the name of a user, or their number if they have none here."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def belongs_to_us(path: Path) -> bool:
    """Whether a file or folder is the user's own, or lies where all is trusted."""
    status = path.stat()
    return status.st_uid == os.geteuid() or _is_below_trusted_folder(path, status)


def who_can_replace(path: Path) -> str:
    """Name another user who can put something else in the place of a file or folder.

    Who can write into a folder can rename what is in it, unless the folder is sticky, as
    ``/tmp`` is. The empty string if nobody else can, or where all is trusted.
    """
    path = path.absolute()
    real = Path(os.path.realpath(path))
    if _is_below_trusted_folder(path, path.stat()):
        return ""
    for folder in dict.fromkeys([*path.parents, *real.parents]):
        status = folder.stat()
        if not _is_owned(status):
            return user_name(status.st_uid)
        if not status.st_mode & stat.S_ISVTX and (who := _other_writers(status)):
            return who
    return ""


def may_be_anothers(folder: Path) -> bool:
    """Whether another user owns a folder, or can put files into it; true of a link, too."""
    status = folder.lstat()
    is_ours = (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.geteuid()
        and not status.st_mode & _WRITABLE_BY_OTHERS
    )
    return not is_ours and not _is_below_trusted_folder(folder, status)


def check_private(path: Path, status: os.stat_result) -> None:
    """Check that what is about to be written will be for the user's eyes alone.

    Raises
    ------
    UntrustedFileError
        The file system has given the new file to others, too.
    """
    reason = _objection(path, status, private=True)
    if reason and not _is_below_trusted_folder(path, status):
        raise UntrustedFileError(f"{path} can't be kept from other users: {reason}")


def _is_below_trusted_folder(path: str | os.PathLike[str], status: os.stat_result) -> bool:
    """Whether the file that was opened lies where the user has said that all is trusted."""
    folders = _trusted_folders()
    if not folders:
        return False
    real = Path(os.path.realpath(path))
    try:
        is_that_file = os.path.samestat(real.lstat(), status)
    except OSError:
        return False
    return is_that_file and any(real.is_relative_to(folder) for folder in folders)


def inherited_trust() -> dict[str, str]:
    """Return the variable that jobs need to trust what this process trusts, if it is set.

    Raises
    ------
    InvalidInputError
        It names a folder by a relative path.
    """
    return {TRUST_VARIABLE: os.environ[TRUST_VARIABLE]} if _trusted_folders() else {}


def _trusted_folders() -> list[str]:
    names = [name for name in os.environ.get(TRUST_VARIABLE, "").split(os.pathsep) if name]
    for name in names:
        if not Path(name).is_absolute():
            raise InvalidInputError(
                f"{TRUST_VARIABLE} must name folders by absolute paths, not {name!r}: jobs run in "
                "other folders."
            )
    return [os.path.realpath(name) for name in names]
