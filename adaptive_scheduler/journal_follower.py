"""What is new in a journal, for those who don't write it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import BinaryIO

from adaptive_scheduler import journal as j

#: Bytes that are read at once from the end of the journal.
_BLOCK = 1 << 16
#: Bytes of the first line that tell one journal from another: when it was begun, and by whom.
_HEAD = 256
_NO_FILE = (0, b"")


class JournalFollower:
    """Reads what is added to a journal, and nothing twice.

    Parameters
    ----------
    path
        The journal. Where another file takes its place, all of that is new.
    from_start
        Read what is there already, too.
    """

    def __init__(self, path: Path, *, from_start: bool = False) -> None:
        self._path = path
        self._file, self._position = _NO_FILE, 0
        #: How many files have been read, one in the place of the other.
        self.n_files = 0
        if from_start:
            return
        # What can't be read now is read from its beginning when it can.
        with contextlib.suppress(OSError), path.open("rb") as file:
            position = _end_of_whole_lines(file)
            self._file, self._position = _which_file(file), position

    def new_records(self) -> list[j.AnyRecord]:
        """Return the records that were added; none if there is no journal.

        Raises
        ------
        OSError, RunFolderError
            If it can't be read.
        """
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return []
        with file:
            which = _which_file(file)
            if which != self._file:
                self._file, self._position = which, 0
                self.n_files += 1
            file.seek(self._position)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        records = [j.read_record(line) for line in data[:whole].splitlines()]
        self._position += whole
        return records


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
