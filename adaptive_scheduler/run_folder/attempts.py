"""All attempts at one learner, as the journal tells of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler._common.revalidate import revalidate
from adaptive_scheduler.errors import RunFolderError
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.models import waits_again

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.layout import RunFolder


@dataclass(frozen=True, kw_only=True)
class AttemptSummary:
    """What became of one job's hold on a learner.

    Attributes
    ----------
    number
        Of the attempt; attempts that a compaction has forgotten are missing.
    outcome
        A word: running, done, failed or released.
    job_id, job_name, host
        Which job had the learner, and where.
    log, output
        What the job had to say, and what it has printed.
    started
        In seconds since the epoch; None if the journal has forgotten it.
    error, traceback
        Why it failed, or was released.
    """

    number: int
    outcome: str
    job_id: str
    job_name: str
    host: str
    log: Path | None
    output: Path
    started: float | None
    error: str = ""
    traceback: str = ""


def attempts_at(folder: RunFolder, learner: int) -> list[AttemptSummary]:
    """Read the attempts at a learner from the journal, the first one first."""
    stories: list[AttemptSummary] = []
    for record in _records(folder.journal, learner):
        last = stories[-1] if stories else None
        is_open = last is not None and last.outcome == "running"
        match record:
            case events.Assigned():
                stories.append(_begun(folder, record))
            case events.LearnerWas(job=job) if job is not None:
                stories.append(_remembered(folder, record, job.job_id))
            case events.Done() if last is not None:
                stories[-1] = replace(last, outcome="done", error="", traceback="")
            case events.Failed() if last is not None and is_open:
                stories[-1] = replace(
                    last, outcome="failed", error=record.error, traceback=record.traceback
                )
            case events.Released() if last is not None and is_open:
                stories[-1] = replace(last, outcome="released", error=record.reason)
            case events.Requeued() if last is not None and is_open and record.job_id == last.job_id:
                stories[-1] = replace(last, outcome="released", error=waits_again(record.job_id))
            case events.JobGone() if last is not None and is_open and record.job_id == last.job_id:
                error = f"The job ended: {record.end}."
                stories[-1] = replace(last, outcome="failed", error=error, traceback=record.output)
    return stories


def _begun(folder: RunFolder, record: events.Assigned) -> AttemptSummary:
    return AttemptSummary(
        number=record.number,
        outcome="running",
        job_id=record.job.job_id,
        job_name=record.job_name,
        host=record.host,
        log=folder.log_now(record.log_fname, record.job_name, record.job.job_id),
        output=folder.output_of(record.job_name, record.job.job_id),
        started=record.time,
    )


def _remembered(folder: RunFolder, record: events.LearnerWas, job_id: str) -> AttemptSummary:
    outcome = record.state if record.state in {"running", "done"} else "failed"
    return AttemptSummary(
        number=record.attempt,
        outcome=outcome,
        job_id=job_id,
        job_name=record.job_name,
        host=record.host,
        log=folder.log_now(record.log_fname, record.job_name, job_id),
        output=folder.output_of(record.job_name, job_id),
        started=record.started,
        error=record.error,
        traceback=record.traceback,
    )


def _records(journal: Path, learner: int) -> Iterator[events.AnyRecord]:
    """Yield the records that may concern a learner, without a closer look at all others."""
    signs = (
        b'"learner":%d,' % learner,
        b'"learner":%d}' % learner,
        b'"event":"job-gone"',
        b'"event":"requeued"',
    )
    revalidate(journal.parent)
    try:
        file = journal.open("rb")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            if not line.endswith(b"\n") or not any(sign in line for sign in signs):
                continue
            try:
                record = events.read_record(line)
            except RunFolderError:
                continue  # whoever starts the run again is told
            is_of_job = isinstance(record, events.JobGone | events.Requeued)
            if is_of_job or getattr(record, "learner", None) == learner:
                yield record
