"""What must be true after every run on the cluster, whatever has happened."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import read_journal
from tests.end_to_end.ledger import Ledger
from tests.end_to_end.looking import points

N_POINTS = 40
#: Evaluations that go through before the world stops.
FREE = 20
#: Seconds between saves if only a job's end shall make it save.
NEVER = 3600


def check_that_all_is_well(run, ledger, *, twice=0):
    """Check what must be true after every run, whatever has happened."""
    assert run.status() == "finished"
    run.load_learners()
    computed = {index: set() for index, _ in enumerate(run.learners)}
    for entry in ledger.returned():
        computed[entry.learner].add(entry.x)
    for index, learner in enumerate(run.learners):
        assert learner.done()
        assert points(learner) == computed[index]
    assert len(ledger.twice()) <= twice
    assert list(overlapping_holds()) == []
    assert list(overlapping_work(ledger)) == []


def overlapping_holds() -> Iterator[events.Assigned]:
    """Yield the assignments of learners that another job had at the time."""
    holders = {}
    for record in read_journal(Path("run-run/journal.jsonl")):
        match record:
            case events.Assigned():
                before = holders.get(record.learner)
                if before is not None and before.job_id != record.job.job_id:
                    yield record
                holders[record.learner] = record.job
            case events.Done() | events.Failed() | events.Released():
                holders.pop(record.learner, None)
            case events.JobGone():
                holders = {i: job for i, job in holders.items() if job.job_id != record.job_id}


def overlapping_work(ledger: Ledger) -> Iterator[int]:
    """Yield the learners at which a job went on after another one had begun."""
    for learner, entries in by_learner(ledger):
        jobs = [job_id for job_id, _ in groupby(entry.job_id for entry in entries)]
        if len(jobs) != len(set(jobs)):
            yield learner


def by_learner(ledger):
    """Yield each learner with its evaluations, in the order in which they have begun."""
    begun = sorted(ledger.begun(), key=lambda entry: entry.learner)
    return groupby(begun, lambda entry: entry.learner)
