"""The lines of a job's log: how far its learners are, and all of it as people read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from adaptive_scheduler._common.formatting import NOTHING, short_number
from adaptive_scheduler._common.tail import last_lines

#: The event of a line that tells how far a learner is.
STATUS_EVENT: Final = "current status"
#: Lines at the end of a log among which the last status of a learner is looked for.
_LAST_LINES: Final = 50
#: Fields of a line that stand elsewhere, or help nobody.
_LEFT_OUT: Final = frozenset({"timestamp", "level", "event", "traceback"})
_TIME_AT: Final = slice(11, 19)


def status_lines(path: Path, learner: int) -> Iterator[dict[str, Any]]:
    """Yield what a job's log says of one learner's progress."""
    try:
        file = path.open(errors="replace")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            if (entry := _status_of(line, learner)) is not None:
                yield entry


def last_status(path: Path, learner: int) -> dict[str, Any]:
    """Return what the end of a job's log says of one learner; empty if it says nothing."""
    lines = last_lines(path, _LAST_LINES).splitlines()
    found = (_status_of(line, learner) for line in reversed(lines))
    return next((entry for entry in found if entry is not None), {})


def _status_of(line: str, learner: int) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return None  # torn, or printed by somebody else
    is_status = isinstance(entry, dict) and entry.get("event") == STATUS_EVENT
    return entry if is_status and entry.get("learner") == learner else None


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
