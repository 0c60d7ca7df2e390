"""A state in as few records as it takes: what a journal is compacted to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import msgspec

from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.models import (
    CANCELLED,
    DONE,
    FAILED,
    JobEntry,
    LearnerEntry,
    LearnerHistory,
)
from adaptive_scheduler.version import __version__

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.state import RunState

#: What a job's entry and a record know by the same name.
_JOB_FACTS = [f.name for f in fields(JobEntry) if f.name in events.JobWas.__struct_fields__]
#: Likewise of a learner, besides what decides about it.
_LEARNER_FACTS = [
    f.name for f in fields(LearnerHistory) if f.name in events.LearnerWas.__struct_fields__
]


def as_records(state: RunState, now: float) -> Iterator[events.AnyRecord]:
    """Yield the records from which an empty state becomes this one."""
    if state.beginning is not None:
        yield msgspec.structs.replace(
            state.beginning, time=now, format=events.FORMAT, version=__version__
        )
    for token, submission in state.submissions.items():
        yield events.Submitting(
            time=submission.time,
            token=token,
            job_name=submission.job_name,
            numbers=list(submission.numbers),
        )
    for job in state.jobs.values():
        is_leaving = job.job_id in state.leaving
        yield events.JobWas(time=now, is_leaving=is_leaving, **job_facts(job))
    for entry in state.learners:
        if _has_a_story(entry):
            yield events.LearnerWas(
                time=now,
                learner=entry.index,
                state=entry.state,
                attempt=entry.attempt,
                fails=entry.fails,
                is_cancelled=entry.is_cancelled,
                job=entry.job,
                **learner_facts(entry),
            )
    yield events.JobsWereOver(time=now, ended=state.over, missed=sorted(state.missed))
    totals = state.totals
    yield events.TotalsWere(
        time=now,
        submitted=totals.submitted,
        gone=totals.gone,
        failed_starts_in_a_row=totals.failed_starts_in_a_row,
        starting_times=totals.starting_times,
        began=totals.began,
        ends=dict(totals.ends),
    )
    if state.is_paused:
        yield events.Paused(time=now)
    if state.ended is not None:
        yield events.RunEnded(time=totals.ended or now, status=state.ended)


def _has_a_story(entry: LearnerEntry) -> bool:
    """Whether anything has happened to a learner.

    That may be so without an attempt: a job that nobody answered made it, and it was reopened.
    """
    is_over = entry.state in (DONE, FAILED, CANCELLED)
    has_facts = any(fact not in (None, "") for fact in learner_facts(entry).values())
    return bool(entry.attempt or entry.fails) or is_over or has_facts


def job_facts(source: JobEntry | events.JobWas) -> dict[str, Any]:
    """Return what a compaction keeps of a job, from either side of it."""
    return {name: getattr(source, name) for name in _JOB_FACTS}


def learner_facts(source: LearnerEntry | events.LearnerWas) -> dict[str, Any]:
    """Return what a compaction keeps of a learner's history, from either side of it."""
    return {name: getattr(source, name) for name in _LEARNER_FACTS}
