"""The jobs of a run, or of a user, as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from adaptive_scheduler.widgets.columns import Column, Columns

if TYPE_CHECKING:
    from adaptive_scheduler.scheduler.base import BaseScheduler
    from adaptive_scheduler.server_support.run_manager import RunManager

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


def job_rows(run_manager: RunManager) -> list[tuple[Any, ...]]:
    """Return a row for each living job of a run: call it on the event loop."""
    database = run_manager.database_manager
    rows = []
    for job in database.state.jobs.values():
        seen = database.queue.get(job.job_id)
        rows.append(
            (
                job.job_id,
                job.job_name,
                "" if seen is None else seen["state"],
                job.learner,
                job.submitted,
                job.started,
                "" if seen is None or seen["running"] else seen["reason"],
            )
        )
    return rows


def queue_columns(scheduler: BaseScheduler) -> Columns:
    """Ask a scheduler for its queue, and return it as a table.

    Raises
    ------
    SchedulerUnavailableError
        If it doesn't answer.
    """
    queue = scheduler.queue()
    columns = Columns(QUEUE_COLUMNS, 0)
    columns.replace([(i, job["job_name"], job["state"], job["reason"]) for i, job in queue.items()])
    return columns
