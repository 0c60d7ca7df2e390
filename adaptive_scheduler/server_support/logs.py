"""What the jobs of a run have logged and printed: as a table, and which of them match."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler.run_folder.log_lines import status_lines
from adaptive_scheduler.server_support.event_loop import event_loop

if TYPE_CHECKING:
    import pandas as pd

    from adaptive_scheduler.scheduler.base import BaseScheduler
    from adaptive_scheduler.server_support.database_manager import DatabaseManager


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
    database_manager.record.refresh()
    rows, figures, queue = event_loop.call(
        lambda: (
            database_manager.as_dicts(),
            dict(database_manager.handler.figures),
            dict(database_manager.reconciler.queue),
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
