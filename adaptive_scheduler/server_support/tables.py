"""The record of a run as rows."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.learners.paths import fname_to_str
from adaptive_scheduler.run_folder.state import DONE, RUNNING, LearnerEntry

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.record_view import RecordView


def database_rows(record: RecordView) -> list[dict[str, Any]]:
    """Return a row for each learner: call it on the event loop."""
    return [_row(record, entry) for entry in record.state.learners]


def _row(record: RecordView, entry: LearnerEntry) -> dict[str, Any]:
    job_id = None if entry.job is None else entry.job.job_id
    output = None
    if job_id is not None:
        output = str(record.run_folder.output_of(entry.job_name, job_id))
    return {
        "fname": fname_to_str(record.fnames[entry.index]),
        "job_id": job_id,
        "is_pending": entry.state == RUNNING,
        "is_done": entry.state == DONE,
        "log_fname": entry.log_fname or None,
        "job_name": entry.job_name or None,
        "output_logs": [] if output is None else [output],
        "start_time": None if entry.started is None else datetime.fromtimestamp(entry.started),  # noqa: DTZ006  shown to people
        "depends_on": list(record.dependencies.get(entry.index, ())),
        "state": entry.state,
        "attempt": entry.attempt,
        "fails": entry.fails,
        "error": entry.error or None,
        "trouble": entry.trouble or None,
        "last_end": entry.last_end or None,
        "host": entry.host or None,
    }
