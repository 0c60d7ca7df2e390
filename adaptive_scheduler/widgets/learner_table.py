"""The table with a row for each learner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from adaptive_scheduler.server_support.event_loop import event_loop
from adaptive_scheduler.widgets.columns import Column, Columns

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.models import LearnerEntry
    from adaptive_scheduler.server_support.database_manager import DatabaseManager
    from adaptive_scheduler.server_support.run_manager import RunManager

LEARNER_COLUMNS: Final = (
    Column("state", "state", "state", 104),
    Column("npoints", "points", "integer", 76),
    Column("loss", "loss", "number", 74),
    Column("progress", "progress", "share", 100),
    Column("job", "job", "text", 84),
    Column("node", "node", "text", 74),
    Column("cpu", "CPU", "percent", 66),
    Column("memory", "memory", "percent", 76),
    Column("seen", "last seen", "time", 82),
    Column("attempts", "attempts", "integer", 78),
    Column("error", "last error", "text", 170),
)
#: Rows that are read at once, so that the manager never waits long for the dashboard.
_AT_ONCE = 2000
#: Characters of an error that are shown in a row.
_LONGEST_ERROR = 300


class LearnerTable:
    """Follows the learners of a run, and reads only what has changed.

    Parameters
    ----------
    run_manager
        Whose learners.

    Attributes
    ----------
    columns
        The table.
    """

    def __init__(self, run_manager: RunManager) -> None:
        self._run = run_manager
        self._database: DatabaseManager | None = None
        self._changed: set[int] = set()
        self.columns = Columns(LEARNER_COLUMNS, len(run_manager.learners))

    def update(self) -> None:
        """Read what has changed; not to be called on the event loop."""
        while rows := event_loop.call(self._take, _AT_ONCE):
            for index, *values in rows:
                self.columns.set_row(index, values)

    def close(self) -> None:
        """Follow the learners no longer."""
        event_loop.call(self._unwatch)

    def _unwatch(self) -> None:
        if self._database is not None:
            self._database.state.unwatch(self._changed)
        self._database = None

    def _take(self, n_rows: int) -> list[Sequence[Any]]:
        database = self._run.database_manager
        state = database.state
        if database is not self._database:  # a run that is started again has another one
            self._unwatch()
            self._database, self._changed = database, state.watch()
            self._changed.update(range(len(state.learners)))
        indices = [self._changed.pop() for _ in range(min(n_rows, len(self._changed)))]
        return [self._row(state.learners[index]) for index in indices]

    def _row(self, entry: LearnerEntry) -> Sequence[Any]:
        handler = self._run.database_manager.handler
        figures = handler.figures.get(entry.index, {})
        share = float(self._run.recorder.shares[entry.index])
        return (
            entry.index,
            entry.state,
            number(figures.get("npoints", entry.npoints)),
            number(figures.get("latest_loss")),
            share,
            "" if entry.job is None else entry.job.job_id,
            entry.host,
            number(figures.get("cpu_usage")),
            number(figures.get("mem_usage")),
            handler.last_seen.get(entry.index, entry.ended or entry.started),
            entry.attempt,
            _one_line(entry.error or entry.trouble),
        )


def number(value: object) -> float | None:
    """Return what a job has told if it is a number; jobs may tell anything."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value)


def _one_line(error: str) -> str:
    return " ".join(error.split())[:_LONGEST_ERROR]
