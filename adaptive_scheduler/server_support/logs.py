"""The jobs' logs: the last lines, what is new, and all of it as a table."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.server_support.event_loop import event_loop

if TYPE_CHECKING:
    import pandas as pd

    from adaptive_scheduler.scheduler.base import BaseScheduler
    from adaptive_scheduler.server_support.database_manager import DatabaseManager

#: Bytes that are read at once from the end of a log.
_BLOCK = 1 << 16
#: Bytes that the last lines of a log may have; progress bars write lines without an end.
_LONGEST_END = 1 << 20
#: The event of a log line that tells how far a learner is.
STATUS_EVENT = "current status"


def last_lines(path: Path, n_lines: int) -> str:
    """Return the last lines of a text file; nothing if there is no such file."""
    data = b""
    try:
        with path.open("rb") as file:
            position = file.seek(0, os.SEEK_END)
            while position > 0 and len(data) < _LONGEST_END and data.count(b"\n") <= n_lines:
                size = min(_BLOCK, position)
                position = file.seek(position - size)
                data = file.read(size) + data
    except FileNotFoundError:
        return ""
    return "\n".join(data.decode(errors="replace").splitlines()[-n_lines:]) if n_lines else ""


class LogReader:
    """Reads what was added to files since the last time, and nothing twice."""

    def __init__(self) -> None:
        self._positions: dict[Path, tuple[int, int]] = {}

    def new_lines(self, path: Path) -> list[str]:
        """Return the complete lines that were added; from the start if the file is another one."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return []
        with file:
            stat = os.fstat(file.fileno())
            inode, position = self._positions.get(path, (stat.st_ino, 0))
            if inode != stat.st_ino or stat.st_size < position:
                position = 0
            file.seek(position)
            data = file.read(stat.st_size - position)
        # Progress bars end their lines with a carriage return, or not at all.
        whole = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if len(data) - whole > _LONGEST_END:
            whole = len(data)
        self._positions[path] = (stat.st_ino, position + whole)
        return data[:whole].decode(errors="replace").splitlines()

    def forget(self, path: Path) -> None:
        """Forget a file that will not be read again."""
        self._positions.pop(path, None)


def parse_log_files(
    database_manager: DatabaseManager,
    scheduler: BaseScheduler,
    *,
    only_last: bool = True,
) -> pd.DataFrame:
    """Return what the jobs have logged of their learners' progress.

    Parameters
    ----------
    database_manager
        Whose jobs.
    scheduler
        Where they run; not asked, since the manager knows the queue already.
    only_last
        One row for each learner that has ever run, instead of one for each line.

    Returns
    -------
    pandas.DataFrame
        The columns of the log's lines beside those of the database.
    """
    import pandas as pd

    del scheduler
    database_manager.refresh()
    rows, figures, queue = event_loop.call(
        lambda: (
            database_manager.as_dicts(),
            dict(database_manager.handler.figures),
            dict(database_manager.queue),
        )
    )
    table = []
    for index, row in enumerate(rows):
        if row["log_fname"] is None:
            continue
        seen = queue.get(row["job_id"]) if row["is_pending"] else None
        more = {**row, "learner_state": row["state"], "state": seen and seen["state"]}
        if only_last and index in figures:
            table.append({**figures[index], **more})
            continue
        lines = list(status_lines(Path(row["log_fname"]), index))
        table += [{**line, **more} for line in (lines[-1:] if only_last else lines)]
    frame = pd.DataFrame(table)
    if "timestamp" in frame:
        frame["timestamp"] = pd.to_datetime(frame["timestamp"])
    return frame


def status_lines(path: Path, learner: int) -> Iterator[dict[str, Any]]:
    """Yield what a job's log says of one learner's progress."""
    try:
        file = path.open(errors="replace")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue  # torn, or printed by somebody else
            is_status = isinstance(entry, dict) and entry.get("event") == STATUS_EVENT
            if is_status and entry.get("learner") == learner:
                yield entry


def logs_with_string_or_condition(
    error: str | Callable[[list[str]], bool], database_manager: DatabaseManager
) -> list[tuple[str, list[str]]]:
    """Return the jobs whose output or log matches.

    Parameters
    ----------
    error
        A string to look for in each line, or a function of all lines.
    database_manager
        Whose jobs.

    Returns
    -------
    list of (str, list of str)
        Names of the jobs that have a learner, and their files that match.
    """
    found = []
    for row in database_manager.as_dicts():
        if not row["is_pending"]:
            continue
        matching = [
            fname
            for fname in [*row["output_logs"], row["log_fname"]]
            if fname and matches(error, _lines(Path(fname)))
        ]
        if matching:
            found.append((row["job_name"], matching))
    return found


def matches(error: str | Callable[[list[str]], bool], lines: list[str]) -> bool:
    """Whether lines hold the string, or meet the condition."""
    if isinstance(error, str):
        return any(error in line for line in lines)
    return bool(error(lines))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
