"""What a run keeps on disk, and where."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from adaptive_scheduler.errors import RunFolderError, RunFolderLockedError

if TYPE_CHECKING:
    from typing import Self

#: Seconds between tries to take a lock: who looks whether it is held has it for a moment.
_LOOKERS_PAUSES = (0.01, 0.05, 0.2)
#: Bytes that the name of a holder takes at most.
_MAX_HOLDER = 4096
#: What a run folder may hold before the first run.
_PARTS = frozenset({"logs", "old_logs", "scripts", "journal.jsonl"})


@dataclass(frozen=True)
class RunFolder:
    """The files of one run.

    Parameters
    ----------
    root
        The run folder itself.
    logs
        Where the jobs' logs go.
    scripts
        Where job scripts go.
    old_logs
        Where logs of jobs that have ended go; None deletes them at cleanup.
    journal
        The file that is the truth about the run.
    """

    root: Path
    logs: Path
    scripts: Path
    old_logs: Path | None
    journal: Path

    @classmethod
    def at(
        cls,
        root: str | Path,
        *,
        logs: str | Path | None = None,
        scripts: str | Path | None = None,
        old_logs: str | Path | None = "old_logs",
        journal: str | Path | None = None,
    ) -> Self:
        """Lay a run folder out. Relative `old_logs` lie inside it; the user's own paths don't."""
        root = Path(root).expanduser().absolute()
        return cls(
            root=root,
            logs=_absolute(logs) if logs else root / "logs",
            scripts=_absolute(scripts) if scripts else root / "scripts",
            old_logs=None if old_logs is None else root / Path(old_logs).expanduser(),
            journal=_absolute(journal) if journal else root / "journal.jsonl",
        )

    @property
    def connection(self) -> Path:
        """Addresses and keys of the manager."""
        return self.root / "connection.json"

    @property
    def pack(self) -> Path:
        """All learners."""
        return self.root / "learners.pack"

    @property
    def settings(self) -> Path:
        """How jobs run their learners."""
        return self.root / "settings.pickle"

    @property
    def history(self) -> Path:
        """How the run has gone so far."""
        return self.root / "history.json"

    @property
    def outbox(self) -> Path:
        """What jobs have to report while nobody listens."""
        return self.root / "outbox"

    @property
    def lock(self) -> Path:
        """Who manages the run."""
        return self.root / "lock"

    def log_of(self, job_name: str, job_id: str) -> Path:
        """Return where a job logs what it does, one JSON object a line."""
        return self.logs / f"{job_name}-{job_id}.log"

    def output_of(self, job_name: str, job_id: str) -> Path:
        """Return where the scheduler writes what a job prints."""
        return self.logs / f"{job_name}-{job_id}.out"

    def create(self) -> None:
        """Make the folders; the run folder is for its owner only.

        Raises
        ------
        RunFolderError
            If that can't be done, or the folder belongs to another user, or
            holds files that are no run's.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_that_it_is_ours()
            self.root.chmod(0o700)
            for folder in (self.logs, self.scripts, self.outbox):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _check_writable(folder)
            self.journal.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(
                f"The run folder '{self.root}' can't be used: {error.strerror} "
                f"({error.filename}). Name another one with `folder=...`."
            ) from error

    def _check_that_it_is_ours(self) -> None:
        if self.root.stat().st_uid != os.getuid():
            raise RunFolderError(
                f"The folder '{self.root}' belongs to another user. Name another one with "
                "`folder=...`."
            )
        is_run = self.outbox.exists()
        if not is_run and any(path.name not in _PARTS for path in self.root.iterdir()):
            raise RunFolderError(
                f"The folder '{self.root}' holds other files, and would be closed to everybody "
                "but you. Name a folder of the run's own with `folder=...`."
            )


def unwritable_error(folder: RunFolder, error: OSError) -> RunFolderError:
    """Say that a run can't be started, since its files can't be written, and what to do."""
    return RunFolderError(
        f"The run in '{folder.root}' can't be started, since its files can't be written: {error}. "
        "Its record is as it was: make room, or see what ails the file system, and start again."
    )


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)
    new.replace(path)


def _absolute(path: str | Path) -> Path:
    return Path(path).expanduser().absolute()


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, os.strerror(13), str(folder))


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
        self._sign()

    def _sign(self) -> None:
        """Write down who has the lock; who can't (the disk is full) does not have it."""
        assert self._fd is not None  # noqa: S101  it was just locked
        try:
            _write_holder(self._fd)
        except OSError:
            self.release()
            raise

    def _open_and_lock(self) -> int:
        for pause in (*_LOOKERS_PAUSES, None):
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
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(fd))
