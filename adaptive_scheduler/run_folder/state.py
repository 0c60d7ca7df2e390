"""What the records of a journal say about learners and jobs: the one reducer.

A `RunState` changes by `RunState.apply`, one record at a time, so that whoever
replays a journal is in the state in which its writer was: the manager, a job
that nobody answers, a shell that looks at the run folder. It holds what records
say and nothing else. What the queue shows, and who watches, lies beside it.
Each step costs the same with a hundred learners and with a hundred thousand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Any

from adaptive_scheduler.protocol.messages import JobIdentity
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.compaction import job_facts, learner_facts
from adaptive_scheduler.run_folder.learner_table import LearnerTable
from adaptive_scheduler.run_folder.models import (
    DELAYED,
    READY,
    RUNNING,
    JobEntry,
    Submission,
    Totals,
    waits_again,
)


class RunState:
    """The learners and jobs of one run.

    Parameters
    ----------
    groups
        For each learner a key; jobs take learners of their own group.
    dependencies
        For some learners, the learners that must be done before.
    max_fails
        Failures in a row after which a learner is given up.
    keep_history
        Whether to keep what decides nothing about learners, such as times and texts. Without
        it, learners that no job has take some bytes each.
    """

    def __init__(
        self,
        groups: Sequence[Hashable],
        *,
        dependencies: Mapping[int, Sequence[int]] | None = None,
        max_fails: int = 50,
        keep_history: bool = True,
    ) -> None:
        self._groups = groups
        self._dependencies = {i: tuple(set(d)) for i, d in (dependencies or {}).items() if d}
        self._max_fails = max_fails
        self._keep_history = keep_history
        self._reducers: Mapping[type, Callable[[Any], None]] = {
            events.RunBegan: self._run_began,
            events.ManagerStarted: self._manager_started,
            events.Submitting: self._submitting,
            events.Submitted: self._submitted,
            events.NotSubmitted: self._not_submitted,
            events.Assigned: self._assigned,
            events.Done: self._done,
            events.Failed: self._failed,
            events.Released: self._released,
            events.NothingLeft: self._nothing_left,
            events.Requeued: self._requeued,
            events.JobGone: self._job_gone,
            events.Retried: self._retried,
            events.Cancelled: self._cancelled,
            events.Reopened: self._reopened,
            events.Troubled: self._troubled,
            events.Paused: self._paused,
            events.Resumed: self._paused,
            events.JobsCancelled: self._jobs_cancelled,
            events.RunEnded: self._run_ended,
            events.LearnerWas: self._learner_was,
            events.JobWas: self._job_was,
            events.JobsWereOver: self._jobs_were_over,
            events.TotalsWere: self._totals_were,
        }
        self._clear()

    def _clear(self) -> None:
        """Forget everything that records have said."""
        #: The first record; None before it was read.
        self.beginning: events.RunBegan | None = None
        self.learners = LearnerTable(
            self._groups,
            self._dependencies,
            max_fails=self._max_fails,
            keep_history=self._keep_history,
        )
        self.jobs: dict[str, JobEntry] = {}
        self.submissions: dict[str, Submission] = {}
        #: How the run has ended; None if it has not.
        self.ended: str | None = None
        #: Whether nothing new is to be submitted.
        self.is_paused = False
        # The life of a job: it is known (`jobs`), says that it leaves (`leaving`), and is gone.
        # Then it is `over`, or, where nobody knows how it ended, `missed` the first time.
        #: Ids of jobs that gave their learner back, or for which nothing was left.
        self.leaving: set[str] = set()
        #: Restarts of jobs that are over. A process of theirs may live on, on a lost node.
        self.over: dict[str, int] = {}
        #: Jobs that were gone once, and nobody knows how they ended.
        self.missed: set[str] = set()
        self.totals = Totals()

    # Questions.

    @property
    def run_id(self) -> str:
        """The id of the run; empty before its first record."""
        return "" if self.beginning is None else self.beginning.run_id

    def live_numbers(self) -> set[int]:
        """Return the numbers of all jobs that live or may live."""
        numbers = {job.number for job in self.jobs.values()}
        return numbers.union(*(s.numbers for s in self.submissions.values()))

    def last_process(self, job: JobEntry) -> JobIdentity | None:
        """Return which process of a job had a learner last, if nobody has had that since."""
        if job.last_learner is None:
            return None
        holder = self.learners.holder_of(job.last_learner)
        return holder if holder is not None and holder.job_id == job.job_id else None

    def is_over(self, identity: JobIdentity) -> bool:
        """Whether the scheduler has ended a job, whatever becomes of its processes.

        A job that was left out of the queue once, without an end, may come back.
        """
        return identity.restarts <= self.over.get(identity.job_id, -1)

    def never_asked(self, job: JobEntry) -> bool:
        """Whether a job that has ended never got as far as asking for a learner."""
        return not job.has_worked and job.job_id not in self.leaving

    # Changes.

    def limit_fails(self, max_fails: int) -> None:
        """Give learners up that fail `max_fails` times in a row from now on."""
        self._max_fails = max_fails
        self.learners.limit_fails(max_fails)

    def end_pauses(self, now: float) -> Collection[int]:
        """Make learners ready whose pause is over, and return them.

        This needs no record: time does it again.
        """
        self.learners.end_pauses(now)
        return self.learners.take_touched()

    def apply(self, record: events.AnyRecord) -> Collection[int]:
        """Take a record into account, and return the learners that it has changed.

        The first record of a journal empties the state: another file may have taken the place
        of the one that was read so far.
        """
        self._reducers[type(record)](record)
        return self.learners.take_touched()

    def _run_began(self, record: events.RunBegan) -> None:
        if self.beginning is not None:
            self._clear()
        self.beginning = record

    def _manager_started(self, record: events.ManagerStarted) -> None:
        self.ended = self.totals.ended = None
        self.totals.failed_starts_in_a_row = 0
        if self.totals.began is None:
            self.totals.began = record.time
        for job in self.jobs.values():
            job.is_inherited = True
        for submission in self.submissions.values():
            submission.is_inherited = True

    def _submitting(self, record: events.Submitting) -> None:
        self.submissions[record.token] = Submission(
            record.job_name, tuple(record.numbers), record.time
        )

    def _submitted(self, record: events.Submitted) -> None:
        submission = self.submissions.pop(record.token)
        for number, job_id in record.job_ids.items():
            self.over.pop(job_id, None)  # a scheduler that lost its memory gives ids again
            # A quick job may have said hello before its submission was written down.
            job = self.jobs.get(job_id)
            if job is None:
                job = self.jobs[job_id] = JobEntry(job_id, "", number, "", record.time)
            job.job_name, job.token = f"{submission.job_name}-{number}", record.token
            job.requested = submission.time
        self.totals.submitted += len(record.job_ids)

    def _not_submitted(self, record: events.NotSubmitted) -> None:
        self.submissions.pop(record.token, None)

    def _assigned(self, record: events.Assigned) -> None:
        index = record.learner
        self._let_go(index)
        job = self._job_of(record)
        if job.learner is not None:  # it took this one by itself, unheard
            previous = job.learner
            self._let_go(previous)
            self.learners.put_back(previous)
        self._forget_holder(job)
        job.learner = job.last_learner = index
        job.has_worked, job.is_interrupted = True, False
        self.leaving.discard(job.job_id)
        self.learners.start(index, record.number, record.job)
        if self._keep_history:
            self.learners.note(
                index,
                job_name=record.job_name,
                log_fname=record.log_fname,
                host=record.host,
                started=record.time,
                ended=None,
                trouble="",
            )

    def _nothing_left(self, record: events.NothingLeft) -> None:
        self.leaving.add(self._job_of(record).job_id)

    def _job_of(self, record: events.Answered) -> JobEntry:
        """Return the entry of a job that has asked for a learner, however it came to be."""
        identity = record.job
        job = self.jobs.get(identity.job_id)
        if job is None:
            job = JobEntry(identity.job_id, record.job_name, record.job_number, "", record.time)
            self.jobs[identity.job_id] = job
        job.restarts = max(job.restarts, identity.restarts)
        if job.started is None:
            job.started = record.time
            self.totals.starting_times.append(record.time - job.submitted)
        self.totals.failed_starts_in_a_row = 0
        return job

    def _done(self, record: events.Done) -> None:
        self._let_go(record.learner)
        self.learners.finish(record.learner)
        self.learners.note(
            record.learner, ended=record.time, npoints=record.npoints, error="", traceback=""
        )

    def _failed(self, record: events.Failed) -> None:
        if self.learners.is_running(record.learner):
            self._let_go(record.learner)
            self._fail(record.learner, record.time, record.error, record.traceback)

    def _fail(self, index: int, now: float, error: str, traceback: str) -> None:
        self.learners.note(index, ended=now, error=error, traceback=traceback)
        self.learners.fail(index, now)

    def _released(self, record: events.Released) -> None:
        if self.learners.is_running(record.learner):
            job = self._let_go(record.learner)
            if job is not None:
                job.is_interrupted = True
                self.leaving.add(job.job_id)
            self.learners.note(record.learner, error=record.reason)
            self.learners.put_back(record.learner)

    def _requeued(self, record: events.Requeued) -> None:
        """Have a job wait for another start.

        Its process may live on, on a node that lost its connection: only the next
        one is to be given anything.
        """
        job = self.jobs.get(record.job_id)
        if job is None:
            return
        if (index := job.learner) is not None:
            self._let_go(index)
            self.learners.note(index, error=waits_again(job.job_id))
            self.learners.put_back(index)
        job.submitted, job.started = record.time, None
        job.is_interrupted = False
        self.leaving.discard(job.job_id)
        if (heard := self.last_process(job)) is not None:
            job.restarts = max(job.restarts, heard.restarts + 1)

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
        if is_known or not was_leaving:  # a job that has said why it leaves is believed
            self.totals.ends[record.state or "UNKNOWN"] += 1
        if job.last_learner is not None:
            self.learners.note(job.last_learner, last_end=record.end)
        self._end_of(job, record)
        self._forget_holder(job)

    def _end_of(self, job: JobEntry, record: events.JobGone) -> None:
        """Settle the learner that a gone job had, or was submitted for."""
        if (index := job.learner) is not None:
            job.learner = None
            error = f"The job ended: {record.end}."
            if not record.is_no_fault:
                self._fail(index, record.time, error, record.output)
                return
            self.learners.note(index, ended=record.time, error=error, traceback=record.output)
            self.learners.put_back(index)
        elif record.is_failed_start:
            self.totals.failed_starts_in_a_row += 1
            if self.learners.state_of(job.number) in (READY, DELAYED):
                error = f"The job ended before it asked for a learner: {record.end}."
                self._fail(job.number, record.time, error, record.output)

    def _retried(self, record: events.Retried) -> None:
        self.learners.retry(record.learner)

    def _cancelled(self, record: events.Cancelled) -> None:
        self.learners.cancel(record.learner)

    def _reopened(self, record: events.Reopened) -> None:
        self.learners.reopen(record.learner)

    def _troubled(self, record: events.Troubled) -> None:
        self.learners.note(record.learner, trouble=record.text)

    def _paused(self, record: events.Paused | events.Resumed) -> None:
        self.is_paused = isinstance(record, events.Paused)

    def _jobs_cancelled(self, record: events.JobsCancelled) -> None:
        living = (self.jobs[i] for i in record.job_ids if i in self.jobs)
        self.leaving.update(job.job_id for job in living if job.learner is None)

    def _run_ended(self, record: events.RunEnded) -> None:
        self.ended, self.totals.ended = record.status, record.time
        # They are cancelled or not needed any more: that they end is no failure.
        self.leaving.update(i for i, job in self.jobs.items() if job.learner is None)

    # After a compaction.

    def _learner_was(self, record: events.LearnerWas) -> None:
        index = record.learner
        self.learners.restore(
            index,
            record.state,
            attempt=record.attempt,
            fails=record.fails,
            cancelled=record.is_cancelled,
        )
        self.learners.note(index, **learner_facts(record))
        if record.job is None:
            return
        job = self.jobs.get(record.job.job_id)
        if record.state == RUNNING and job is not None:
            job.learner = index
        if self._keep_history or (job is not None and job.last_learner == index):
            self.learners.hold(index, record.job)

    def _job_was(self, record: events.JobWas) -> None:
        self.jobs[record.job_id] = JobEntry(**job_facts(record))
        if record.is_leaving:
            self.leaving.add(record.job_id)

    def _jobs_were_over(self, record: events.JobsWereOver) -> None:
        self.over, self.missed = record.ended.copy(), set(record.missed)

    def _totals_were(self, record: events.TotalsWere) -> None:
        self.totals = Totals(
            record.submitted,
            record.gone,
            record.failed_starts_in_a_row,
            record.starting_times.copy(),
            Counter(record.ends),
            record.began,
        )

    # Who has what.

    def _let_go(self, index: int) -> JobEntry | None:
        """Take a learner from the job that has it, and return that."""
        if not self.learners.is_running(index):
            return None
        holder = self.learners.holder_of(index)
        job = None if holder is None else self.jobs.get(holder.job_id)
        if job is None or job.learner != index:
            return None
        job.learner = None
        return job

    def _forget_holder(self, job: JobEntry) -> None:
        """Forget, without a history, that a job had a learner to which it won't come back."""
        if not self._keep_history and job.last_learner is not None:
            self.learners.forget_holder(job.last_learner, job.job_id)
