"""How records get into the journal: on disk before anybody is told, and never half a line."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from adaptive_scheduler.journal import AnyRecord, write_record

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class Journal:
    """Appends records to a journal.

    Records are collected by `append` and written by `flush`, which blocks
    until they lie on disk and may run in another thread.

    Parameters
    ----------
    path
        The file; it is made if there is none.
    may_write
        Asked before each write whether this is still the one who writes.
    """

    def __init__(self, path: Path, *, may_write: Callable[[], bool] = lambda: True) -> None:
        self.path = path
        self._may_write = may_write
        self._waiting: list[bytes] = []
        self._writing = threading.Lock()
        _drop_torn_line(path)
        self._fd = os.open(path, _FLAGS, 0o600)
        self._good_size = os.fstat(self._fd).st_size

    @property
    def is_flushed(self) -> bool:
        """Whether every record lies on disk."""
        return not self._waiting

    def append(self, record: AnyRecord) -> None:
        """Add a record, to be written with the next `flush`."""
        self._waiting.append(write_record(record))

    def flush(self) -> None:
        """Write what is waiting and wait until it lies on disk.

        Raises
        ------
        OSError
            If that failed. The records keep waiting for another flush, and the
            file has no half-written line.
        """
        with self._writing:
            count = len(self._waiting)  # more may arrive while this thread writes
            if count == 0:
                return
            data = b"".join(self._waiting[:count])
            if not self._may_write():
                raise OSError(errno.ESTALE, "another manager has taken the run over")
            if os.fstat(self._fd).st_size > self._good_size:  # it could not be cut off before
                os.ftruncate(self._fd, self._good_size)
            try:
                _write_all(self._fd, data)
                os.fsync(self._fd)
            except OSError:
                os.ftruncate(self._fd, self._good_size)
                raise
            self._good_size += len(data)
            del self._waiting[:count]

    def compact(self, records: Iterable[AnyRecord]) -> None:
        """Replace the whole journal by `records`, atomically.

        Whoever reads it meanwhile sees the old one or the new one.
        """
        data = b"".join(map(write_record, records))
        new = self.path.with_name(self.path.name + ".new")
        fd = os.open(new, _FLAGS | os.O_TRUNC, 0o600)
        try:
            _write_all(fd, data)
            os.fsync(fd)
            new.replace(self.path)
        except OSError:
            os.close(fd)
            new.unlink()  # it takes up room where there is none
            raise
        os.close(self._fd)
        self._fd, self._good_size = fd, len(data)
        self._waiting.clear()
        _sync_folder(self.path.parent)

    def close(self) -> None:
        """Close the file. What has not been flushed is lost."""
        with self._writing:
            os.close(self._fd)
            self._fd = -1  # the file that is opened next may get the same number


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _drop_torn_line(path: Path) -> None:
    """Cut off what a dead writer has not finished, so that new lines begin at a line's start."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    whole = data.rfind(b"\n") + 1
    if whole != len(data):
        os.truncate(path, whole)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
