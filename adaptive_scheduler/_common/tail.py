"""The end of a file that grows: its last lines, and what is added to it.

Where a reader has got to is a value, a `Position`, which whoever reads keeps. So one
function serves all: the dashboard that shows a log, the shell that follows several, and
the kill manager that reads the output of all jobs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from adaptive_scheduler._common.revalidate import revalidate

#: Bytes that are read at once from the end of a file.
_BLOCK = 1 << 16
#: Bytes of a line without an end that are kept back; progress bars write such lines.
_LONGEST_LINE: Final = 1 << 20
#: Bytes of its first line by which a file is told from another one in its place.
_HEAD: Final = 256


@dataclass(frozen=True)
class Position:
    """How far a file has been read.

    Attributes
    ----------
    file
        Which file it was: its inode, and how it begins. The number alone may be that of
        a file long deleted.
    offset
        Bytes that have been read.
    """

    file: tuple[int, bytes] | None = None
    offset: int = 0


#: Nothing has been read.
START: Final = Position()


@dataclass(frozen=True)
class NewLines:
    """What has been added to a file.

    Attributes
    ----------
    lines
        Whole lines, without their ends.
    position
        From where to read on.
    is_other
        Whether the file is another one than before, or begins anew.
    """

    lines: list[str]
    position: Position
    is_other: bool


def read_new_lines(
    path: Path, since: Position = START, *, first: int | None = None, later: int | None = None
) -> NewLines:
    """Return the whole lines that were added to a text file.

    A line ends with a newline or a carriage return; one without an end is left for the next
    time, unless it is longer than any should be. Another file in the place of the first is read
    from its start.

    Parameters
    ----------
    path
        The file; it need not exist yet.
    since
        What has been read.
    first, later
        Bytes that are read at most of a file that is new, and of one that has grown: of more,
        only the end. None stands for all of it.

    Raises
    ------
    OSError
        If the file is there and can't be read.
    """
    try:
        file = _open(path)
    except FileNotFoundError:
        return NewLines([], since, is_other=False)
    with file:
        end = os.fstat(file.fileno()).st_size
        which = _which_file(file)
        is_other = not _is_same(since.file, which) or end < since.offset
        start = 0 if is_other else since.offset
        limit = first if is_other else later
        is_cut = limit is not None and end - start > limit
        if is_cut:
            start = end - (limit or 0)
        file.seek(start)
        data = file.read(end - start)
    whole = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
    if len(data) - whole > _LONGEST_LINE:
        whole = len(data)
    begin = data.find(b"\n") + 1 if is_cut else 0
    lines = data[begin:whole].decode(errors="replace").splitlines()
    return NewLines(lines, Position(which, start + whole), is_other)


def last_lines(path: Path, n_lines: int) -> str:
    """Return the last lines of a text file; nothing if there is no such file."""
    data = b""
    try:
        with _open(path) as file:
            position = file.seek(0, os.SEEK_END)
            while position > 0 and len(data) < _LONGEST_LINE and data.count(b"\n") <= n_lines:
                size = min(_BLOCK, position)
                position = file.seek(position - size)
                data = file.read(size) + data
    except FileNotFoundError:
        return ""
    return "\n".join(data.decode(errors="replace").splitlines()[-n_lines:]) if n_lines else ""


def _open(path: Path) -> BinaryIO:
    """Open a file that may just have been made on another host."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        revalidate(path.parent)
        return path.open("rb")


def _which_file(file: BinaryIO) -> tuple[int, bytes]:
    return os.fstat(file.fileno()).st_ino, file.readline(_HEAD)


def _is_same(before: tuple[int, bytes] | None, now: tuple[int, bytes]) -> bool:
    """Whether this is the file of before, whose first line may have been half written then."""
    return before is not None and before[0] == now[0] and now[1].startswith(before[1])
