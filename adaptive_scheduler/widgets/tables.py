"""The tables of the dashboard: learners, jobs, the record, results, and your queue."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from adaptive_scheduler._common.formatting import counted
from adaptive_scheduler.run_folder.models import DONE, RUNNING
from adaptive_scheduler.widgets.columns import Column, Columns, columns_of_rows

if TYPE_CHECKING:
    import pandas as pd

    from adaptive_scheduler.learners.paths import ResolvedFname
    from adaptive_scheduler.scheduler.base import BaseScheduler
    from adaptive_scheduler.server_support.view import JobRow, LearnerRow, RunView, Version

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
JOB_COLUMNS: Final = (
    Column("job_id", "job", "text", 130),
    Column("job_name", "name", "text", 170),
    Column("queue_state", "in the queue", "text", 120),
    Column("learner", "learner", "integer", 80),
    Column("submitted", "submitted", "time", 96),
    Column("started", "started", "time", 96),
    Column("reason", "why it waits", "text", 260),
)
QUEUE_COLUMNS: Final = (
    Column("job_id", "job", "text", 130),
    Column("job_name", "name", "text", 220),
    Column("queue_state", "state", "text", 130),
    Column("reason", "reason", "text", 320),
)
#: Rows of a dataframe that are shown; all of them are in the dataframe.
MOST_ROWS: Final = 20_000
#: Characters of an error that are shown in a row.
_LONGEST_ERROR: Final = 300


class FollowedLearners:
    """The table with a row for each learner, of which only what has changed is read.

    Parameters
    ----------
    view
        Whose learners.

    Attributes
    ----------
    columns
        The table.
    """

    def __init__(self, view: RunView) -> None:
        self._view = view
        self._seen: Version | None = None
        self.columns = Columns(LEARNER_COLUMNS, view.n_learners)

    def update(self) -> None:
        """Read what has changed."""
        new = self._view.rows(self._seen)
        for row in new.rows:
            self.columns.set_row(row.index, _learner(row))
        self._seen = new.version


def _learner(row: LearnerRow) -> tuple[Any, ...]:
    return (
        row.state,
        row.npoints,
        row.loss,
        row.share,
        row.job_id,
        row.host,
        row.cpu,
        row.memory,
        row.seen,
        row.attempt,
        " ".join((row.error or row.trouble).split())[:_LONGEST_ERROR],
    )


class FollowedJobs:
    """The table with a row for each job in the queue.

    Parameters
    ----------
    view
        Whose jobs.

    Attributes
    ----------
    columns
        The table.
    """

    def __init__(self, view: RunView) -> None:
        self._view = view
        self._rows: list[JobRow] = []
        self.columns = Columns(JOB_COLUMNS, 0)

    def update(self) -> None:
        """Read the jobs anew; nothing has changed if they are the same."""
        rows = self._view.jobs()
        if rows != self._rows:
            self._rows = rows
            self.columns.replace([_job(row) for row in rows])


def _job(row: JobRow) -> tuple[Any, ...]:
    times = (row.submitted, row.started)
    return (row.job_id, row.job_name, row.state, row.learner, *times, row.reason)


# Tables that are loaded when somebody asks for them, and a sentence about each.


def load_database(view: RunView) -> tuple[Columns, str]:
    """Return the record of a run: a row for each learner."""
    rows = sorted(view.rows().rows, key=lambda row: row.index)
    fnames = view.fnames
    columns = columns_of_rows([_database_row(row, fnames[row.index]) for row in rows])
    return columns, f"{counted(len(rows), 'row')}, as of {time.strftime('%H:%M:%S')}."


def _database_row(row: LearnerRow, fname: ResolvedFname) -> dict[str, Any]:
    started = row.started
    return {
        "fname": fname.given,
        "job_id": row.job_id or None,
        "is_pending": row.state == RUNNING,
        "is_done": row.state == DONE,
        "log_fname": row.log,
        "job_name": row.job_name or None,
        "output_logs": row.output,
        "start_time": None if started is None else datetime.fromtimestamp(started),  # noqa: DTZ006  shown to people
        "depends_on": row.depends_on,
        "state": row.state,
        "attempt": row.attempt,
        "fails": row.fails,
        "error": row.error or None,
        "trouble": row.trouble or None,
        "last_end": row.last_end or None,
        "host": row.host or None,
    }


def load_queue(scheduler: BaseScheduler) -> tuple[Columns, str]:
    """Ask a scheduler for your jobs.

    Raises
    ------
    SchedulerUnavailableError
        If it doesn't answer.
    """
    queue = scheduler.queue()
    columns = Columns(QUEUE_COLUMNS, 0)
    columns.replace([(i, job["job_name"], job["state"], job["reason"]) for i, job in queue.items()])
    return columns, f"{counted(len(columns), 'job')}, as of {time.strftime('%H:%M:%S')}."


def load_dataframe(frame: pd.DataFrame) -> tuple[Columns, str]:
    """Return a dataframe, or the beginning of a long one."""
    head = frame.head(MOST_ROWS)
    named = head.set_axis([str(name) for name in head.columns], axis=1)
    records = named.astype(object).where(named.notna(), None).to_dict("records")
    rows = [{str(name): value for name, value in record.items()} for record in records]
    shown = f", of which the first {MOST_ROWS:,} are shown" if len(frame) > MOST_ROWS else ""
    words = f"{counted(len(frame), 'row')} and {counted(len(frame.columns), 'column')}{shown}."
    return columns_of_rows(rows, list(named.columns)), words
