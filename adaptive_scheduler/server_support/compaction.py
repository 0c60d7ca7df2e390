"""A state in as few records as it takes: what a journal is compacted to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from adaptive_scheduler import journal as j
from adaptive_scheduler.server_support.entries import CANCELLED, DONE, FAILED, LearnerEntry

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.state import RunState


def as_records(state: RunState, now: float) -> Iterator[j.AnyRecord]:
    """Yield the records from which an empty state becomes this one."""
    for token, submission in state.submissions.items():
        yield j.Submitting(
            time=submission.time,
            token=token,
            job_name=submission.job_name,
            numbers=list(submission.numbers),
        )
    for job in state.jobs.values():
        yield j.JobWas(
            time=now,
            job_id=job.job_id,
            restarts=job.restarts,
            job_name=job.job_name,
            number=job.number,
            token=job.token,
            submitted=job.submitted,
            started=job.started,
            has_worked=job.has_worked,
            is_leaving=job.job_id in state.leaving,
            last_learner=job.last_learner,
        )
    for entry in state.learners:
        if _has_a_story(entry):
            yield _learner_was(entry, now)
    yield j.JobsWereOver(time=now, ended=state.over, missed=sorted(state.missed))
    totals = state.totals
    yield j.TotalsWere(
        time=now,
        submitted=totals.submitted,
        gone=totals.gone,
        failed_starts_in_a_row=totals.failed_starts_in_a_row,
        starting_times=totals.starting_times,
        began=totals.began,
        ends=dict(totals.ends),
    )
    if state.is_paused:
        yield j.Paused(time=now)
    if state.ended is not None:
        yield j.RunEnded(time=totals.ended or now, status=state.ended)


def _has_a_story(entry: LearnerEntry) -> bool:
    """Whether anything has happened to a learner."""
    has_ended = entry.state in (DONE, FAILED, CANCELLED)
    return bool(entry.attempt or entry.error or has_ended or entry.npoints is not None)


def _learner_was(entry: LearnerEntry, now: float) -> j.LearnerWas:
    return j.LearnerWas(
        time=now,
        learner=entry.index,
        state=entry.state,
        attempt=entry.attempt,
        fails=entry.fails,
        error=entry.error,
        traceback=entry.traceback,
        job=entry.job,
        job_name=entry.job_name,
        log_fname=entry.log_fname,
        host=entry.host,
        started=entry.started,
        ended=entry.ended,
        npoints=entry.npoints,
        is_cancelled=entry.is_cancelled,
        trouble=entry.trouble,
        last_end=entry.last_end,
    )
