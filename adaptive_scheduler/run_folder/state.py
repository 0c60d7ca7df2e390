"""What the manager believes about learners and jobs, and the only way to change it.

A `RunState` changes by `RunState.apply`, one journal record at a time, so that
replaying a journal gives the state in which its writer was. Only what shows by
itself again needs no record: that time passes, and where the queue shows
jobs to be. Each step costs the same with a hundred learners and with a hundred
thousand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from adaptive_scheduler.protocol.messages import Attempt, JobIdentity
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.compaction import job_facts, learner_facts
from adaptive_scheduler.run_folder.learner_table import LearnerTable, pause_after
from adaptive_scheduler.run_folder.models import (
    CANCELLED,
    DELAYED,
    DONE,
    FAILED,
    LEARNER_STATES,
    READY,
    RUNNING,
    WAITING,
    JobEntry,
    LearnerEntry,
    Submission,
    Totals,
)

__all__ = [
    "CANCELLED",
    "DELAYED",
    "DONE",
    "FAILED",
    "LEARNER_STATES",
    "READY",
    "RUNNING",
    "WAITING",
    "JobEntry",
    "LearnerEntry",
    "RunState",
    "Submission",
    "Totals",
    "attempt_of",
    "pause_after",
]


class RunState(LearnerTable):
    """The learners and jobs of one run.

    The parameters are those of a `LearnerTable`.
    """

    def __init__(
        self,
        groups: Sequence[Hashable],
        *,
        dependencies: Mapping[int, Sequence[int]] | None = None,
        max_fails: int = 50,
    ) -> None:
        super().__init__(groups, dependencies=dependencies, max_fails=max_fails)
        #: The first record; None before it was read.
        self.beginning: events.RunBegan | None = None
        self.jobs: dict[str, JobEntry] = {}
        self.submissions: dict[str, Submission] = {}
        #: How the run has ended; None if it has not.
        self.ended: str | None = None
        #: Whether nothing new is to be submitted.
        self.is_paused = False
        #: Ids of jobs that gave their learner back, or for which nothing was left.
        self.leaving: set[str] = set()
        #: Restarts of jobs that are over. A process of theirs may live on, on a lost node.
        self.over: dict[str, int] = {}
        #: Jobs that were gone once, and nobody knows how they ended.
        self.missed: set[str] = set()
        self.totals = Totals()

    @property
    def run_id(self) -> str:
        """The id of the run; empty before its first record."""
        return "" if self.beginning is None else self.beginning.run_id

    def live_numbers(self) -> set[int]:
        """Return the numbers of all jobs that live or may live."""
        numbers = {job.number for job in self.jobs.values()}
        return numbers.union(*(s.numbers for s in self.submissions.values()))

    # Changes.

    def apply(self, record: events.AnyRecord) -> None:  # noqa: C901, PLR0912, PLR0915  one case a record
        """Take note of what has happened."""
        match record:
            case events.Assigned():
                self._assigned(record)
            case events.Done():
                self._done(record)
            case events.Failed():
                entry = self.learners[record.learner]
                if entry.state == RUNNING:
                    self._let_go(entry)
                    self._fail(entry, record.time, record.error, record.traceback)
            case events.Released():
                self._released(record)
            case events.NothingLeft():
                self._nothing_left(record)
            case events.Submitting():
                self.submissions[record.token] = Submission(
                    record.job_name, tuple(record.numbers), record.time
                )
            case events.Submitted():
                self._submitted(record)
            case events.NotSubmitted():
                self.submissions.pop(record.token, None)
            case events.JobGone():
                self._job_gone(record)
            case events.Retried():
                self._retried(record.learner)
            case events.Cancelled():
                self._cancelled(record.learner)
            case events.Reopened():
                self._reopened(record.learner)
            case events.Troubled():
                self.learners[record.learner].trouble = record.text
                self.note_change(record.learner)
            case events.Paused() | events.Resumed():
                self.is_paused = isinstance(record, events.Paused)
            case events.JobsCancelled():
                living = (self.jobs[i] for i in record.job_ids if i in self.jobs)
                self.leaving.update(job.job_id for job in living if job.learner is None)
            case events.RunEnded():
                self.ended, self.totals.ended = record.status, record.time
                # They are cancelled or not needed any more: that they end is no failure.
                self.leaving.update(i for i, job in self.jobs.items() if job.learner is None)
            case events.RunBegan():
                self.beginning = record
            case events.ManagerStarted():
                self.ended = self.totals.ended = None
                self.totals.failed_starts_in_a_row = 0
                if self.totals.began is None:
                    self.totals.began = record.time
                for job in self.jobs.values():
                    job.is_inherited = True
                for submission in self.submissions.values():
                    submission.is_inherited = True
            case events.LearnerWas():
                self._learner_was(record)
            case events.JobWas():
                self._job_was(record)
            case events.JobsWereOver():
                self.over, self.missed = record.ended.copy(), set(record.missed)
            case events.TotalsWere():
                self.totals = Totals(
                    record.submitted,
                    record.gone,
                    record.failed_starts_in_a_row,
                    record.starting_times.copy(),
                    Counter(record.ends),
                    record.began,
                )

    def _assigned(self, record: events.Assigned) -> None:
        entry = self.learners[record.learner]
        self._let_go(entry)
        job = self._job_of(record.job, record.job_name, record.job_number, record.time)
        if job.learner is not None:  # it took this one by itself, unheard
            previous = self.learners[job.learner]
            self._let_go(previous)
            self._put_back(previous)
        job.learner = job.last_learner = record.learner
        job.has_worked, job.is_interrupted = True, False
        self.leaving.discard(job.job_id)
        self.job_runs(job, record.time)
        self.totals.failed_starts_in_a_row = 0
        entry.attempt, entry.job, entry.job_name = record.number, record.job, record.job_name
        entry.log_fname, entry.host = record.log_fname, record.host
        entry.started, entry.ended, entry.trouble = record.time, None, ""
        self._move(entry, RUNNING)

    def _job_of(self, identity: JobIdentity, name: str, number: int, now: float) -> JobEntry:
        """Return the entry of a job that has been heard of, however it came to be."""
        job = self.jobs.get(identity.job_id)
        if job is None:
            job = JobEntry(identity.job_id, name, number, "", submitted=now)
            self.jobs[identity.job_id] = job
        job.restarts = max(job.restarts, identity.restarts)
        return job

    def job_runs(self, job: JobEntry, now: float) -> None:
        """Note that a job has been seen or heard running."""
        if job.started is None:
            job.started = now
            self.totals.starting_times.append(now - job.submitted)

    def job_waits_again(self, job: JobEntry, now: float) -> None:
        """Note that a job that had begun has been seen in line for another start.

        Its process may live on, on a node that lost its connection: only the next
        one is to be given anything.
        """
        job.submitted, job.started = now, None
        job.is_interrupted = False
        self.leaving.discard(job.job_id)
        if (heard := self.last_process(job)) is not None:
            job.restarts = max(job.restarts, heard.restarts + 1)

    def last_process(self, job: JobEntry) -> JobIdentity | None:
        """Return which process of a job had a learner last, if nobody has had that since."""
        if job.last_learner is None:
            return None
        holder = self.learners[job.last_learner].job
        return holder if holder is not None and holder.job_id == job.job_id else None

    def _nothing_left(self, record: events.NothingLeft) -> None:
        job = self._job_of(record.job, record.job_name, record.job_number, record.time)
        self.leaving.add(job.job_id)
        self.job_runs(job, record.time)
        self.totals.failed_starts_in_a_row = 0

    def _released(self, record: events.Released) -> None:
        entry = self.learners[record.learner]
        if entry.state == RUNNING:
            entry.error = record.reason
            self._let_go(entry, is_leaving=True)
            self._put_back(entry)

    def _done(self, record: events.Done) -> None:
        entry = self.learners[record.learner]
        self._let_go(entry)
        entry.ended, entry.npoints = record.time, record.npoints
        entry.fails, entry.error, entry.traceback = 0, "", ""
        entry.is_cancelled = False
        self._finish(entry)

    def _submitted(self, record: events.Submitted) -> None:
        submission = self.submissions.pop(record.token)
        for number, job_id in record.job_ids.items():
            self.over.pop(job_id, None)  # a scheduler that lost its memory gives ids again
            # A quick job may have said hello before its submission was written down.
            job = self.jobs.setdefault(
                job_id, JobEntry(job_id, "", number, record.token, record.time)
            )
            job.job_name, job.token = f"{submission.job_name}-{number}", record.token
            job.requested = submission.time
        self.totals.submitted += len(record.job_ids)

    def is_over(self, identity: JobIdentity) -> bool:
        """Whether the scheduler has ended a job, whatever becomes of its processes.

        A job that was left out of the queue once, without an end, may come back.
        """
        return identity.restarts <= self.over.get(identity.job_id, -1)

    def is_failed_start(self, job: JobEntry) -> bool:
        """Whether a job that has ended never got as far as asking for a learner."""
        return not job.has_worked and job.job_id not in self.leaving

    def _job_gone(self, record: events.JobGone) -> None:
        job = self.jobs.pop(record.job_id, None)
        was_leaving = record.job_id in self.leaving
        self.leaving.discard(record.job_id)
        if job is None:
            return
        if record.is_certain or record.job_id in self.missed:
            self.over[record.job_id] = job.restarts
        else:
            self.missed.add(record.job_id)
        self.totals.gone += 1
        is_known = record.state not in ("", "UNKNOWN")
        if is_known or not was_leaving:  # whoever has said why it leaves needs no other witness
            self.totals.ends[record.state or "UNKNOWN"] += 1
        if job.last_learner is not None:
            self.learners[job.last_learner].last_end = record.end
        if job.learner is not None:
            entry = self.learners[job.learner]
            job.learner = None
            error = f"The job ended: {record.end}."
            if record.is_no_fault:
                entry.ended, entry.error, entry.traceback = record.time, error, record.output
                self._put_back(entry)
            else:
                self._fail(entry, record.time, error, record.output)
        elif record.is_failed_start:
            self.totals.failed_starts_in_a_row += 1
            entry = self.learners[job.number]
            if entry.state in (READY, DELAYED):
                error = f"The job ended before it asked for a learner: {record.end}."
                self._fail(entry, record.time, error, record.output)

    def _learner_was(self, record: events.LearnerWas) -> None:
        entry = self.learners[record.learner]
        for name, fact in learner_facts(record).items():
            setattr(entry, name, fact)
        if record.state == DONE:
            self._finish(entry)
        else:  # a pause need not outlive a compaction
            self._move(entry, READY if record.state == DELAYED else record.state)
        if record.state == RUNNING and record.job is not None:
            job = self.jobs.get(record.job.job_id)
            if job is not None:
                job.learner = record.learner

    def _job_was(self, record: events.JobWas) -> None:
        self.jobs[record.job_id] = JobEntry(**job_facts(record))
        if record.is_leaving:
            self.leaving.add(record.job_id)

    def _let_go(self, entry: LearnerEntry, *, is_leaving: bool = False) -> None:
        """Take a learner from the job that has it."""
        if entry.state == RUNNING and entry.job is not None:
            job = self.jobs.get(entry.job.job_id)
            if job is not None and job.learner == entry.index:
                job.learner = None
                if is_leaving:
                    job.is_interrupted = True
                    self.leaving.add(job.job_id)


def attempt_of(entry: LearnerEntry) -> Attempt:
    """Return the current attempt of a learner that is running."""
    return Attempt(entry.index, entry.attempt)
