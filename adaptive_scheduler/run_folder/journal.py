"""The journal: an append-only file of JSON lines that is the truth about a run.

Its first record says which run it is of, and in which format it is written. Any process may
read it at any time; the last line may be torn, and is then ignored. The manager alone writes,
and tells nobody of a record before it lies on disk.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from adaptive_scheduler._common.atomic import sync_folder
from adaptive_scheduler._common.trusted import open_trusted
from adaptive_scheduler.errors import RunFolderError
from adaptive_scheduler.run_folder.events import (
    FORMAT,
    AnyRecord,
    RunBegan,
    read_record,
    write_record,
)
from adaptive_scheduler.version import __version__

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
#: Bytes that are read at once from the end of the journal.
_BLOCK = 1 << 16
#: Bytes of the first line that tell one journal from another: when it was begun, and by whom.
_HEAD = 1 << 10
_NO_FILE = (0, b"")
#: How often a journal is opened again that was replaced, on another host, while it was read.
_REOPENINGS = 3


def read_journal(path: Path) -> Iterator[AnyRecord]:
    """Yield the records of a journal; none if there is no file.

    Raises
    ------
    RunFolderError
        If it has another format, or a line before the last can't be read.
    """
    return JournalFollower(path).new_records()


def read_beginning(path: Path) -> RunBegan | None:
    """Return the first record of a journal; None if there is none yet.

    Raises
    ------
    RunFolderError
        If it has another format, or can't be read.
    """
    first = next(read_journal(path), None)
    return first if isinstance(first, RunBegan) else None


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
        sync_folder(self.path.parent)

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


class JournalFollower:
    """Reads what is added to a journal, and nothing twice.

    Where another file has taken the place of the one that was read, because the journal was
    compacted or the run begun anew, all of that is new: its first record, a `RunBegan`,
    empties a `RunState`.

    Parameters
    ----------
    path
        The journal.
    from_end
        Pass over what is there already.
    trust
        Whether to read it even if another user may have written it.
    """

    def __init__(self, path: Path, *, from_end: bool = False, trust: bool = True) -> None:
        self._path = path
        self._trust = trust
        self._file, self._position = _NO_FILE, 0
        if not from_end:
            return
        # What can't be read now is read from its beginning when it can.
        with contextlib.suppress(OSError), path.open("rb") as file:
            position = _end_of_whole_lines(file)
            self._file, self._position = _which_file(file), position

    def new_records(self) -> Iterator[AnyRecord]:
        """Yield the records that were added; none if there is no journal.

        Raises
        ------
        OSError, RunFolderError
            If it can't be read, or has another format.
        UntrustedFileError
            Without `trust`, if another user may have written it.
        """
        for remaining in reversed(range(_REOPENINGS + 1)):
            try:
                yield from self._added()
            except OSError as error:
                if error.errno != errno.ESTALE or not remaining:
                    raise
            else:
                return

    def _added(self) -> Iterator[AnyRecord]:
        """Yield the records that were added to what is the journal now."""
        with contextlib.ExitStack() as closed_at_end:
            opening = open_trusted(self._path, trust=self._trust, follow_link=True)
            try:
                file = closed_at_end.enter_context(opening)
            except FileNotFoundError:
                return
            which = _which_file(file)
            if which != self._file:
                self._file, self._position = which, 0
            if self._position == 0:
                _check_format(self._path, which[1])
            file.seek(self._position)
            for line in file:
                if line[-1:] != b"\n":  # torn: its writer died, or is writing now
                    return
                try:
                    record = read_record(line)
                except RunFolderError as error:
                    raise self._unreadable(error) from error
                self._position += len(line)
                yield record

    def _unreadable(self, error: RunFolderError) -> RunFolderError:
        """Say which line can't be read: the one at which this reader stands."""
        number = self._path.read_bytes()[: self._position].count(b"\n") + 1
        return RunFolderError(
            f"Line {number} of the journal '{self._path}' can't be read: {error} "
            f"{_hint(self._file[1])}Move the file aside to begin the run anew; data files are "
            "not touched by that."
        )


class _Head(msgspec.Struct):
    """What the first line says of a journal in every format."""

    event: str
    format: int = 0
    version: str = ""


_decode_head = msgspec.json.Decoder(_Head).decode


def _check_format(path: Path, line: bytes) -> None:
    """Check that we can read the journal that begins with `line`."""
    try:
        head = _decode_head(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return  # it can't be read as a record either
    is_of_ours = head.event == "run-began"
    if is_of_ours and head.format == FORMAT:
        return
    if is_of_ours:
        what = f"has format {head.format}, of adaptive_scheduler {head.version}"
        how = f"use that version (`pip install adaptive-scheduler=={head.version}`)"
    else:
        what = "does not tell its format, and was written by an earlier version"
        how = "use the version that began it"
    raise RunFolderError(
        f"The journal '{path}' {what}; this is {__version__}, which reads format {FORMAT}. To go "
        f"on with the run, {how}. To begin it anew with this one, use `overwrite_db=True`, or move "
        "the file aside: data files are not touched by that, and what was computed is loaded."
    )


def _hint(first_line: bytes) -> str:
    """Say so if a journal was written by another version than this."""
    try:
        version = _decode_head(first_line).version
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    if version == __version__:
        return ""
    return f"It was written by adaptive_scheduler {version}, and this is {__version__}. "


def _which_file(file: BinaryIO) -> tuple[int, bytes]:
    """Tell a journal from one in its place: the number alone may be that of one long deleted."""
    file.seek(0)
    return os.fstat(file.fileno()).st_ino, file.readline(_HEAD)


def _end_of_whole_lines(file: BinaryIO) -> int:
    """Return where the last line that is whole ends; another may be being written."""
    position = file.seek(0, os.SEEK_END)
    while position > 0:
        start = max(0, position - _BLOCK)
        file.seek(start)
        found = file.read(position - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0
