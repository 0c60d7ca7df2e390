"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import os
import secrets
import socket
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["atomic_write"]

#: Modes in which a file is written from its beginning.
_WRITE_MODES = frozenset({"w", "wt", "wb", "w+", "w+t", "wt+", "w+b", "wb+"})

#: What file systems answer that can't, or don't let us, sync a folder.
_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM})


@contextmanager
def atomic_write(
    dest: str | os.PathLike[str],
    mode: str = "w",
    *args: Any,
    return_path: bool = False,
    permissions: int | None = None,
    make_folders: bool = True,
    **kwargs: Any,
) -> Iterator[Any]:
    """Write a file so that `dest` is at all times the old one or the new one, whole.

    What the block writes goes to a temporary file in the same folder, which
    takes the place of `dest` when the block ends and the disk has it. If the
    block raises, the temporary file is removed and `dest` stays what it was.

    Parameters
    ----------
    dest
        The file to write. ``~`` is expanded, and where `dest` is a symbolic
        link, the file that it points to is written. An existing file's
        permissions are kept; a new one gets those that any new file gets.
    mode
        As in `open`; only modes that write from the beginning.
    *args, **kwargs
        As in `open`.
    return_path
        Yield the temporary file's path instead of an open file, for writers
        that want a path. It ends like `dest`.
    permissions
        Give the file these, less what the umask takes away, even if it replaces one that
        has others.
    make_folders
        Make parent folders that are missing.

    Raises
    ------
    InvalidInputError
        `mode` appends, updates or reads.
    OSError
        The file can't be written.
    """
    if mode not in _WRITE_MODES:
        raise InvalidInputError(
            f"atomic_write can't open {dest} with mode {mode!r}: use 'w' or 'wb'."
        )
    target = Path(dest).expanduser().resolve()
    if make_folders:
        target.parent.mkdir(parents=True, exist_ok=True)
    kept = _permissions(target) if permissions is None else None
    wanted = kept if permissions is None else permissions
    temporary = _temporary_name(target)
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
    # The owner writes it, even when what it replaces is read-only.
    descriptor = os.open(temporary, flags, 0o666 if wanted is None else wanted | 0o600)
    try:
        with os.fdopen(descriptor, mode, *args, **kwargs) as file:
            yield temporary if return_path else file
        _sync(temporary)
        if kept is not None and kept != _permissions(temporary):
            with suppress(OSError):  # some file systems have their own idea of permissions
                temporary.chmod(kept)
        temporary.replace(target)
    except BaseException:  # Ctrl-C as well: no half of a file stays
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def _permissions(path: Path) -> int | None:
    try:
        return path.stat().st_mode & 0o777
    except FileNotFoundError:
        return None


def _temporary_name(target: Path) -> Path:
    """Name a file beside `target` that nobody else uses, on any host.

    Its length does not depend on that of the target's name, which may be the
    longest that the file system takes. Some writers go by the suffix.
    """
    host = socket.gethostname()[:40]
    return target.with_name(f".tmp-{host}-{os.getpid()}-{secrets.token_hex(6)}{target.suffix[:20]}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Have the renaming on disk, too, where the file system can do that."""
    try:
        _sync(folder)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
