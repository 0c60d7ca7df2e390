"""A manager without sockets and disks, for tests to play jobs against."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import msgspec

from adaptive_scheduler.protocol import messages
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.compaction import as_records
from adaptive_scheduler.run_folder.models import (
    CANCELLED,
    DELAYED,
    DONE,
    FAILED,
    READY,
    RUNNING,
    WAITING,
)
from adaptive_scheduler.run_folder.state import RunState
from adaptive_scheduler.server_support.message_handler import MessageHandler
from adaptive_scheduler.server_support.reconcile import Reconciler
from adaptive_scheduler.server_support.record import Record


class MemoryRecord(Record):
    """A record without a file; a function keeps what is appended."""

    def __init__(self, state, keep):
        super().__init__(Path("no such journal"), state)
        self._keep = keep

    def append(self, record):
        """Apply a record, and keep it."""
        self.watched.apply(record)
        self._keep(record)


class Manager:
    """What decides in the real one, with a journal in memory and a clock that stands still."""

    def __init__(self, groups, *, dependencies=None, max_fails=50):
        self._make_state = lambda: RunState(groups, dependencies=dependencies, max_fails=max_fails)
        self.journal = []
        self.now = 1000.0
        self.wants_cancel = 0
        self.commands = []
        self.adopt(self._make_state())

    def adopt(self, state):
        self.state = state
        self.record = MemoryRecord(state, self._keep)
        self.handler = MessageHandler(
            self.record.watched, self.record.append, self._cancel, self._command
        )

    def _cancel(self):
        self.wants_cancel += 1

    def _command(self, request):
        self.commands.append(request.command)
        return messages.CommandResult(f"{len(self.commands)} commands")

    def _keep(self, record):
        self.journal.append(as_read(record))

    def replayed(self):
        """Return the state that the journal tells."""
        return self._replay(self.journal)

    def compacted(self):
        """Return the journal as it would be after a compaction, and the state that it tells."""
        records = [as_read(record) for record in as_records(self.state, self.now)]
        return records, self._replay(records)

    def _replay(self, records):
        state = self._make_state()
        for record in records:
            state.apply(record)
        return state

    # What happens to a run.

    def submit(self, *numbers, token="t", job_name="sweep", first_id=None):
        """Submit jobs; the id of each is its number, unless a first id is given."""
        self.record.append(
            events.Submitting(time=self.now, token=token, job_name=job_name, numbers=list(numbers))
        )
        ids = numbers if first_id is None else range(first_id, first_id + len(numbers))
        job_ids = {number: str(i) for number, i in zip(numbers, ids, strict=True)}
        self.record.append(events.Submitted(time=self.now, token=token, job_ids=job_ids))

    def job_gone(self, job_id, *, is_certain=False):
        job = self.state.jobs.get(job_id)
        is_failed_start = job is not None and self.state.never_asked(job)
        self.record.append(
            events.JobGone(
                time=self.now,
                job_id=job_id,
                end="FAILED",
                output="Killed",
                is_failed_start=is_failed_start,
                is_certain=is_certain,
            )
        )
        self.handler.forget(job_id)

    def states(self):
        return [entry.state for entry in self.state.learners]


def fake_reconciler(manager, folder, scheduler=None, **keywords):
    """Return what looks at the queue for a manager."""
    unused = {"read_outbox": None, "flushed": None, "max_log_lines": 3}
    return Reconciler(manager.record, scheduler, folder, manager.handler, **{**unused, **keywords})


class Job:
    """One process of a job."""

    log_fname = "/log"

    def __init__(self, manager, number, job_id=None, restarts=0):
        self.manager = manager
        self.number = number
        self.identity = messages.JobIdentity(str(number) if job_id is None else job_id, restarts)
        self.holding = None
        self.requests = []

    def __repr__(self):
        return f"<Job {self.identity} holds {self.holding}>"

    def send(self, message):
        request = messages.Request(len(self.requests) + 1, message)
        self.requests.append(request)
        return self.manager.handler.handle(request)

    def greeting(self, holding=None):
        """Return what it says first, or leaves in the outbox as its claim."""
        name = f"sweep-{self.number}"
        return messages.Hello(
            self.identity, name, self.number, "node1", 99, self.log_fname, holding
        )

    def hello(self, holding=None):
        answer = self.send(self.greeting(holding))
        if isinstance(answer, messages.Assigned):
            self.holding = answer.attempt
        return answer

    def status(self, **figures):
        return self.send(messages.Status(self.identity, self.holding, figures))

    def done(self, **figures):
        return self.send(messages.Done(self.identity, self.holding, figures))

    def failed(self, error="ValueError: no", traceback="Traceback ..."):
        return self.send(messages.Failed(self.identity, self.holding, error, traceback))

    def released(self, reason="The job got SIGTERM."):
        return self.send(messages.Released(self.identity, self.holding, reason))

    def restarted(self):
        """Return the process that the scheduler starts under the same id."""
        return Job(self.manager, self.number, self.identity.job_id, self.identity.restarts + 1)


def as_read(record):
    """Return a record as whoever reads the journal gets it."""
    return msgspec.json.decode(msgspec.json.encode(record), type=events.AnyRecord)


def everything(state):
    """Return all that a state believes; pauses are over."""
    state.end_pauses(float("inf"))
    learners = []
    for entry in state.learners:
        fields = asdict(entry)
        del fields["ready_at"]
        learners.append(fields)
    return {
        "learners": learners,
        "jobs": state.jobs,
        "submissions": state.submissions,
        "leaving": state.leaving,
        "over": (state.over, state.missed),
        "totals": state.totals,
        "ended": state.ended,
        "is_paused": state.is_paused,
        "counts": {name: count for name, count in state.learners.counts.items() if count},
        "ready": {group: set(ready) for group, ready in state.learners.ready_groups()},
    }


def check_consistency(state):
    """Check that all parts of a state tell the same."""
    entries = state.learners
    counts = Counter(entry.state for entry in entries)
    assert {s: n for s, n in state.learners.counts.items() if n} == counts
    assert state.learners.n_unscheduled == counts[WAITING] + counts[READY] + counts[DELAYED]
    over = counts[DONE] + counts[FAILED] + counts[CANCELLED]
    assert state.learners.is_complete == (over == len(entries))

    ready = {
        (group, index) for group, indices in state.learners.ready_groups() for index in indices
    }
    assert ready == {(state.learners.groups[e.index], e.index) for e in entries if e.state == READY}

    held = {(e.job.job_id, e.index) for e in entries if e.state == RUNNING}
    assert held == {(i, job.learner) for i, job in state.jobs.items() if job.learner is not None}

    for index, needed in state.learners.dependencies.items():
        is_free = all(entries[other].state == DONE for other in needed)
        if entries[index].state == WAITING:
            assert not is_free
        elif entries[index].state in (READY, DELAYED, RUNNING):
            assert is_free
    assert state.leaving <= {i for i, job in state.jobs.items() if job.learner is None}
