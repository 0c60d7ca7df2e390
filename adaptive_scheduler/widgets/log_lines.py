"""Logs that grow, as people read them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from adaptive_scheduler.widgets.formatting import NOTHING, short_number

#: Bytes of the end of a log that are read at first.
_END: Final = 200_000
#: Bytes that are read at once afterwards; what was written in between is left out.
_AT_ONCE: Final = 1_000_000
#: Fields of a line that stand elsewhere, or help nobody.
_LEFT_OUT: Final = frozenset({"timestamp", "level", "event", "traceback"})
_TIME_AT: Final = slice(11, 19)


class LogFollower:
    """Reads the end of a file, and then what is added to it.

    Parameters
    ----------
    path
        The file; it need not exist yet.
    learner
        Leave out what is said of other learners that the job has had.
    """

    def __init__(self, path: Path, learner: int | None = None) -> None:
        self.path = path
        self._learner = learner
        self._inode: int | None = None
        self._position = 0
        self._is_new = True

    def news(self) -> tuple[bool, str]:
        """Return whether the file is another one than before, and whole lines that are new."""
        try:
            file = self.path.open("rb")
        except OSError:
            return False, ""
        with file:
            stat = os.fstat(file.fileno())
            is_other = stat.st_ino != self._inode or stat.st_size < self._position
            start = 0 if is_other else self._position
            limit = _END if is_other else _AT_ONCE
            skipped = stat.st_size - start > limit
            if skipped:
                start = stat.st_size - limit
            file.seek(start)
            data = file.read(stat.st_size - start)
        whole = data.rfind(b"\n") + 1
        begin = data.find(b"\n") + 1 if skipped else 0
        self._inode, self._position = stat.st_ino, start + whole
        lines = data[begin:whole].decode(errors="replace").splitlines()
        shown = (readable(line, self._learner) for line in lines)
        return is_other, "".join(f"{line}\n" for line in shown if line is not None)


def readable(line: str, learner: int | None = None) -> str | None:
    """Return a line of a log as people read it, None if it is about another learner.

    JSON becomes words.
    """
    if not line.startswith("{"):
        return line
    try:
        entry: Any = json.loads(line)
    except json.JSONDecodeError:
        return line
    if not isinstance(entry, dict) or "event" not in entry:
        return line
    if learner is not None and entry.pop("learner", learner) != learner:
        return None
    time = str(entry.get("timestamp", ""))[_TIME_AT]
    level = str(entry.get("level", "info"))
    words = [time, level.upper()] if level not in {"info", "debug"} else [time]
    fields = [f"{name} {_value(v)}" for name, v in entry.items() if name not in _LEFT_OUT]
    text = "  ".join([*filter(None, words), str(entry["event"]), *fields])
    traceback = str(entry.get("traceback") or "").rstrip()
    return f"{text}\n{traceback}" if traceback else text


def _value(value: object) -> str:
    if isinstance(value, float):
        return short_number(value)
    return NOTHING if value is None else str(value)
