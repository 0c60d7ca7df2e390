"""Who manages a run: the lock of its folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from adaptive_scheduler._common.revalidate import revalidate
from adaptive_scheduler.errors import RunFolderLockedError
from adaptive_scheduler.run_folder.layout import RunFolder

#: Seconds between tries to take a lock: who looks whether it is held has it for a moment.
_LOOKERS_PAUSES = (0.01, 0.05, 0.2)
#: Bytes that the name of a holder takes at most.
_MAX_HOLDER = 4096


class Holder(msgspec.Struct, frozen=True):
    """Who holds a run folder."""

    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


class RunFolderLock:
    """Makes sure that one manager at a time works in a run folder.

    The kernel lets go of the lock when its holder dies, however that happens,
    whatever becomes of the processes that the holder has forked.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._fd: int | None = None
        os.register_at_fork(after_in_child=self._leave_to_parent)

    def acquire(self, *, may_follow: Callable[[Holder], bool] | None = None) -> None:
        """Take the lock.

        Parameters
        ----------
        may_follow
            Asked before the lock is taken after somebody who did not let go
            of it; by default, everybody has died of whom the kernel says so.

        Raises
        ------
        RunFolderLockedError
            If a living manager has it, or may have.
        """
        fd = self._open_and_lock()
        previous = _decode_holder(os.pread(fd, _MAX_HOLDER, 0))
        if previous is not None and may_follow is not None and not may_follow(previous):
            os.close(fd)
            raise locked_error(self._folder, previous)
        self._fd = fd
        self._sign(fd)

    def _sign(self, fd: int) -> None:
        """Write down who has the lock; who can't (the disk is full) does not have it."""
        try:
            _write_holder(fd)
        except OSError:
            self.release()
            raise

    def _open_and_lock(self) -> int:
        for pause in (*_LOOKERS_PAUSES, None):
            revalidate(self._folder.root)
            fd = os.open(self._folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(fd)
                if pause is None:
                    raise locked_error(self._folder, read_holder(self._folder)) from error
                time.sleep(pause)
                continue
            if _is_at(fd, self._folder.lock):
                return fd
            os.close(fd)  # somebody has put another file in its place
        raise locked_error(self._folder, read_holder(self._folder))

    def take_from_the_dead(self) -> None:
        """Take the lock away from a holder whose host is gone, and can't let go of it.

        Should that holder live on, it finds out by `is_ours`.
        """
        new = self._folder.lock.with_name(f".lock-{socket.gethostname()}-{os.getpid()}")
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            _write_holder(fd)
            new.replace(self._folder.lock)
        except OSError:
            new.unlink(missing_ok=True)
            os.close(fd)
            raise
        self._fd = fd

    def is_ours(self) -> bool:
        """Whether we have the lock, and nobody has taken it from us."""
        return self._fd is not None and _is_at(self._fd, self._folder.lock)

    def is_held(self) -> bool:
        """Whether a living process, this one included, has the lock."""
        revalidate(self._folder.root)
        try:
            fd = os.open(self._folder.lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def release(self) -> None:
        """Let go of the lock, if it is held."""
        if self._fd is not None:
            if self.is_ours():
                os.ftruncate(self._fd, 0)
            # Closing is not enough while a child that was just forked has a copy.
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            os.close(self._fd)
            self._fd = None

    def _leave_to_parent(self) -> None:
        """Close a forked child's copy, which would keep the lock as long as the child lives."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def read_holder(folder: RunFolder) -> Holder | None:
    """Return who has last taken the lock and not let go of it."""
    with contextlib.suppress(OSError):
        return _decode_holder(folder.lock.read_bytes())
    return None


def living_holder(folder: RunFolder) -> Holder | None:
    """Return who holds the lock; its file alone does not tell that, a dead holder's stays."""
    return read_holder(folder) if RunFolderLock(folder).is_held() else None


def locked_error(folder: RunFolder, holder: Holder | None) -> RunFolderLockedError:
    """Return the error that says who holds a run folder."""
    if holder is None or holder.host == socket.gethostname():
        way_out = "Cancel or end that manager first, or use another `job_name` or `folder`."
    else:
        way_out = (
            "Cancel or end that manager first. If its host is gone, take the run over with "
            f"`RunManager.attach({str(folder.root)!r}, take_over=True)`."
        )
    return RunFolderLockedError(
        f"The run in '{folder.root}' is managed by {holder or 'another process'}. {way_out}"
    )


def _decode_holder(data: bytes) -> Holder | None:
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(data, type=Holder)
    return None


def _write_holder(fd: int) -> None:
    me = Holder(socket.gethostname(), os.getpid(), f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
    os.ftruncate(fd, 0)
    os.pwrite(fd, msgspec.json.encode(me), 0)


def _is_at(fd: int, path: Path) -> bool:
    """Whether an open file lies at `path`."""
    revalidate(path.parent)
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(fd))
