"""A cluster with a clock of its own: runs of 100,000 jobs in seconds.

What decides is the real thing: the state, the answers to jobs, the planning of
submissions, the journal's records. Sockets, disks, the cluster and the time are
played. Whatever happens, happens at a virtual time, one thing after another.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from unittest import mock

import msgspec

from adaptive_scheduler.protocol import messages
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.state import RunState
from adaptive_scheduler.server_support import message_handler
from adaptive_scheduler.server_support.message_handler import MessageHandler
from adaptive_scheduler.server_support.planning import numbers_to_submit
from adaptive_scheduler.server_support.reconcile import gone_jobs
from tests.server_support.fake_manager import MemoryRecord


@dataclass(frozen=True)
class Site:
    """A cluster, and what happens there.

    Attributes
    ----------
    slots
        Jobs that run at once.
    start_up
        Seconds from a job's start to its hello.
    time_limit
        Seconds after which a job is ended; it lets go of its learner before.
    crashes
        The share of attempts whose job is killed in the middle.
    """

    slots: int = 1_000
    start_up: float = 10.0
    time_limit: float = 86_400.0
    crashes: float = 0.0


@dataclass
class Job:
    """One process of a job."""

    job_id: str
    number: int
    begun: float | None = None
    attempt: messages.Attempt | None = None
    #: What it does next is void if this number has changed meanwhile.
    life: int = 0
    is_over: bool = False
    seq: itertools.count = field(default_factory=lambda: itertools.count(1))

    @property
    def identity(self):
        return messages.JobIdentity(self.job_id)


class Simulation:
    """One run on one site.

    Parameters
    ----------
    n_learners
        How many learners.
    site
        Where the jobs run.
    duration
        Seconds that a learner takes.
    max_jobs
        How many jobs may be in the queue at once.
    interval
        Seconds between two looks at the queue.
    log_interval
        Seconds between two reports of a job.
    seed
        Of all that is random.
    on_record
        Called with each record of the journal.
    """

    def __init__(
        self,
        n_learners,
        site=None,
        *,
        duration=600.0,
        max_jobs=1_000_000,
        interval=60.0,
        log_interval=300.0,
        max_fails=50,
        seed=0,
        on_record=None,
    ):
        self.site = site or Site()
        self.duration, self.max_jobs = duration, max_jobs
        self.interval, self.log_interval = interval, log_interval
        self.now = 1_000_000.0
        self.began = self.now
        self.state = RunState([0] * n_learners, max_fails=max_fails)
        self.record = MemoryRecord(self.state, self._keep)
        self.handler = MessageHandler(
            self.record.watched, self.record.append, lambda: None, messages.CommandResult
        )
        self.random = random.Random(seed)
        self.journal_bytes = 0
        self.counts = Counter()
        self.jobs = {}
        self.most_jobs = 0
        #: Learner by learner: the job at work on it, and how often it was done.
        self.at_work = {}
        self.n_done = Counter()
        self._events = []
        self._order = itertools.count()
        self._ids = itertools.count(1)
        self._pending = []
        self._free_slots = self.site.slots
        self._dirty = True
        self._encoder = msgspec.json.Encoder()
        self._on_record = on_record

    def _keep(self, record):
        self.journal_bytes += len(self._encoder.encode(record)) + 1
        self.counts["records"] += 1
        self._dirty = True
        if self._on_record is not None:
            self._on_record(record)

    def run(self, until=math.inf):
        """Play until all learners are done or given up, or for so many virtual seconds."""
        with _clock(lambda: self.now):
            self._at(0.0, self._look)
            while not self.state.learners.is_complete and self.elapsed < until:
                time, _, act, arguments = heapq.heappop(self._events)
                self.now = max(self.now, time)
                act(*arguments)
                # As on the real loop, what happens at once leads to one look at what is missing.
                if self._dirty and (not self._events or self._events[0][0] > self.now):
                    self._dirty = False
                    self._submit_missing()
        return self

    @property
    def elapsed(self):
        """Virtual seconds since the start."""
        return self.now - self.began

    def _at(self, delay, act, *arguments):
        heapq.heappush(self._events, (self.now + delay, next(self._order), act, arguments))

    # The manager's side.

    def _look(self):
        self.counts["looks"] += 1
        queue = {job_id: {"alive": True} for job_id, job in self.jobs.items() if not job.is_over}
        for job in gone_jobs(self.state, queue, self.now):
            is_failed_start = self.state.never_asked(job)
            self.record.append(
                events.JobGone(
                    time=self.now,
                    job_id=job.job_id,
                    end="FAILED",
                    output="Killed",
                    is_failed_start=is_failed_start,
                    is_certain=True,
                )
            )
            self.handler.forget(job.job_id)
            del self.jobs[job.job_id]
        self.record.watched.end_pauses(self.now)
        self._dirty = True
        self._at(self.interval, self._look)

    def _submit_missing(self):
        numbers = numbers_to_submit(self.state, len(self.state.learners), self.max_jobs)
        if not numbers:
            return
        self.counts["submissions"] += 1
        token = str(self.counts["submissions"])
        self.record.append(
            events.Submitting(time=self.now, token=token, job_name="sweep", numbers=sorted(numbers))
        )
        job_ids = {number: str(next(self._ids)) for number in sorted(numbers)}
        self.record.append(events.Submitted(time=self.now, token=token, job_ids=job_ids))
        for number, job_id in job_ids.items():
            self.jobs[job_id] = Job(job_id, number)
            self._pending.append(self.jobs[job_id])
        self.counts["jobs"] += len(job_ids)
        self.most_jobs = max(self.most_jobs, len(self.state.jobs))
        self._start_pending()

    # The cluster's side.

    def _start_pending(self):
        starting = self._pending[: self._free_slots]
        del self._pending[: self._free_slots]
        self._free_slots -= len(starting)
        for job in starting:
            job.begun = self.now
            self._at(self.site.start_up, self._hello, job)

    def _end(self, job):
        job.is_over = True
        job.life += 1
        self._free_slots += 1
        self._start_pending()

    # The jobs' side.

    def _send(self, job, message):
        self.counts["messages"] += 1
        return self.handler.handle(messages.Request(next(job.seq), message))

    def _hello(self, job):
        answer = self._send(
            job,
            messages.Hello(
                job.identity, f"sweep-{job.number}", job.number, "node", 1, "/log", None
            ),
        )
        if not isinstance(answer, messages.Assigned):
            self._end(job)
            return
        job.attempt = answer.attempt
        learner = answer.attempt.learner
        assert learner not in self.at_work, "two jobs work on one learner"
        self.at_work[learner] = job
        left = job.begun + self.site.time_limit - self.now
        job.life += 1
        if self.random.random() < self.site.crashes:
            self._at(min(left, self.random.random() * self.duration), self._crash, job, job.life)
        elif left < self.duration:
            self._at(left, self._release, job, job.life)
        else:
            self._at(self.duration, self._done, job, job.life)
        self._at(self.log_interval, self._status, job, job.life)

    def _status(self, job, life):
        if job.life != life:
            return
        figures = {"npoints": 100, "latest_loss": 0.5, "npoints/s": 1.0}
        assert isinstance(
            self._send(job, messages.Status(job.identity, job.attempt, figures)), messages.Accepted
        )
        self._at(self.log_interval, self._status, job, life)

    def _done(self, job, life):
        if job.life != life:
            return
        job.life += 1
        del self.at_work[job.attempt.learner]
        self.n_done[job.attempt.learner] += 1
        answer = self._send(job, messages.Done(job.identity, job.attempt, {"npoints": 200}))
        assert isinstance(answer, messages.Accepted)
        self._hello(job)

    def _release(self, job, life):
        if job.life == life:
            del self.at_work[job.attempt.learner]
            self._send(job, messages.Released(job.identity, job.attempt, "time limit"))
            self._end(job)

    def _crash(self, job, life):
        if job.life == life:
            del self.at_work[job.attempt.learner]
            self.counts["crashes"] += 1
            self._end(job)


@contextmanager
def _clock(now):
    """Let the modules that look at the clock see a virtual one."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(message_handler, "time", SimpleNamespace(time=now)))
        yield
