"""The record of a run as rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.learners.paths import fname_to_str
from adaptive_scheduler.run_folder.models import DONE, RUNNING, LearnerEntry

if TYPE_CHECKING:
    from adaptive_scheduler.learners.paths import FnameTypes
    from adaptive_scheduler.run_folder.layout import RunFolder


def database_rows(
    entries: Iterable[LearnerEntry],
    run_folder: RunFolder,
    fnames: Sequence[FnameTypes],
    dependencies: Mapping[int, Sequence[int]],
) -> list[dict[str, Any]]:
    """Return a row for each learner.

    Parameters
    ----------
    entries
        What the journal says of them.
    run_folder
        Where the output of their jobs lies.
    fnames, dependencies
        As the user gave them.
    """
    return [
        {
            "fname": fname_to_str(fnames[entry.index]),
            **_facts(entry, run_folder),
            "depends_on": list(dependencies.get(entry.index, ())),
            **_attempts(entry),
        }
        for entry in entries
    ]


def _facts(entry: LearnerEntry, run_folder: RunFolder) -> dict[str, Any]:
    job_id = None if entry.job is None else entry.job.job_id
    log = output = None
    if job_id is not None:
        log = run_folder.log_now(entry.log_fname, entry.job_name, job_id)
        output = str(run_folder.output_of(entry.job_name, job_id))
    return {
        "job_id": job_id,
        "is_pending": entry.state == RUNNING,
        "is_done": entry.state == DONE,
        "log_fname": None if log is None else str(log),
        "job_name": entry.job_name or None,
        "output_logs": [] if output is None else [output],
        "start_time": None if entry.started is None else datetime.fromtimestamp(entry.started),  # noqa: DTZ006  shown to people
    }


def _attempts(entry: LearnerEntry) -> dict[str, Any]:
    return {
        "state": entry.state,
        "attempt": entry.attempt,
        "fails": entry.fails,
        "error": entry.error or None,
        "trouble": entry.trouble or None,
        "last_end": entry.last_end or None,
        "host": entry.host or None,
    }
