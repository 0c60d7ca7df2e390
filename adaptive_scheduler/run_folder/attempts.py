"""All attempts at one learner, as the journal tells of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler._common.revalidate import revalidate
from adaptive_scheduler.errors import RunFolderError
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.models import DONE, FAILED, RUNNING
from adaptive_scheduler.run_folder.state import RunState

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.layout import RunFolder
    from adaptive_scheduler.run_folder.models import LearnerEntry

#: Records that tell nothing of an attempt, though they name its job.
_SUBMISSIONS = (events.Submitting, events.Submitted, events.NotSubmitted)


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


def attempts_at(folder: RunFolder, learner: int, n_learners: int) -> list[AttemptSummary]:
    """Read the attempts at a learner from the journal, the first one first.

    An attempt begins and ends where `RunState` says so.

    Parameters
    ----------
    folder
        The run folder.
    learner
        Which learner.
    n_learners
        How many learners the run has.
    """
    state = RunState([0] * n_learners)
    attempts: list[AttemptSummary] = []
    for record in _records(folder.journal, learner):
        before = state.learners[learner]
        state.apply(record)
        after = state.learners[learner]
        was_running, is_running = before.state == RUNNING, after.state == RUNNING
        is_same = (before.attempt, before.job) == (after.attempt, after.job)
        if was_running and not (is_running and is_same):
            # A job that has another learner now says nothing of this one.
            error = "" if isinstance(record, events.Assigned) else after.error
            attempts[-1:] = [_ended(each, before, after, error) for each in attempts[-1:]]
        elif after.state == DONE and is_same and attempts:
            attempts[-1] = _ended(attempts[-1], before, after, "")
        if after.job is not None and (not is_same or (is_running and not was_running)):
            attempts.append(_attempt(folder, after, after.job.job_id))
    return attempts


def _attempt(folder: RunFolder, entry: LearnerEntry, job_id: str) -> AttemptSummary:
    """Return the attempt that a learner is in, or was in last before a compaction."""
    if entry.state in (RUNNING, DONE):
        outcome = entry.state
    else:
        outcome = "failed" if entry.state == FAILED or entry.fails else "released"
    is_over = entry.state != RUNNING
    return AttemptSummary(
        number=entry.attempt,
        outcome=outcome,
        job_id=job_id,
        job_name=entry.job_name,
        host=entry.host,
        log=folder.log_now(entry.log_fname, entry.job_name, job_id),
        output=folder.output_of(entry.job_name, job_id),
        started=entry.started,
        error=entry.error if is_over else "",
        traceback=entry.traceback if is_over else "",
    )


def _ended(
    attempt: AttemptSummary, before: LearnerEntry, after: LearnerEntry, error: str
) -> AttemptSummary:
    """Return an attempt with how it ended: a failure is what counts as one."""
    if after.state == DONE:
        return replace(attempt, outcome="done", error="", traceback="")
    if after.fails > before.fails:
        return replace(attempt, outcome="failed", error=error, traceback=after.traceback)
    return replace(attempt, outcome="released", error=error)


def _records(journal: Path, learner: int) -> Iterator[events.AnyRecord]:
    """Yield what concerns a learner and the jobs that have had it; no other line is decoded."""
    signs = {b'"learner":%d,' % learner, b'"learner":%d}' % learner, b'"event":"job-was"'}
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
            if isinstance(record, _SUBMISSIONS):
                continue
            job = getattr(record, "job", None)
            if job is not None and getattr(record, "learner", None) == learner:
                signs.add(b'"%s"' % job.job_id.encode())
            yield record
