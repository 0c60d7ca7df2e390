"""What the manager believes about learners and jobs, and the only way to change it.

A `RunState` changes by `RunState.apply`, one journal record at a time, so that
replaying a journal gives the state in which its writer was. Only what shows by
itself again needs no record: that time passes, and which jobs the queue shows
running. Each step costs the same with a hundred learners and with a hundred
thousand.

========= ============================================================
learner   meaning
========= ============================================================
waiting   a learner that it depends on isn't done
ready     a job may have it
delayed   ready, after a pause that followed a failure
running   a job has it
done      its goal is reached
failed    given up: it failed too often, or depends on one that did
cancelled the user wants it left alone, or one that it depends on
========= ============================================================
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence

from adaptive_scheduler import journal as j
from adaptive_scheduler.protocol import Attempt, JobIdentity
from adaptive_scheduler.server_support.entries import (
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

#: Seconds before a learner that has failed twice in a row is tried again; this
#: doubles with each further failure. The first failure costs no pause.
_FIRST_PAUSE = 1.0
#: Longest pause between two tries, in seconds.
_LONGEST_PAUSE = 300.0


def pause_after(fails: int) -> float:
    """Return how long to wait, in seconds, after the `fails`-th failure in a row."""
    return 0.0 if fails <= 1 else min(_FIRST_PAUSE * 2.0 ** min(fails - 2, 60), _LONGEST_PAUSE)


class RunState:
    """The table of learners and jobs of one run.

    Parameters
    ----------
    groups
        For each learner a key; jobs take learners of their own group.
    dependencies
        For some learners, the learners that must be done before.
    max_fails
        Failures in a row after which a learner is given up.
    """

    def __init__(
        self,
        groups: Sequence[Hashable],
        *,
        dependencies: Mapping[int, Sequence[int]] | None = None,
        max_fails: int = 50,
    ) -> None:
        self.max_fails = max_fails
        self.groups = groups
        self.dependencies = {i: tuple(set(d)) for i, d in (dependencies or {}).items() if d}
        self.learners = [LearnerEntry(i) for i in range(len(groups))]
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
        self.counts: Counter[str] = Counter({READY: len(groups)})
        # Finding the first key of a dict takes the longer the more were taken away before it.
        self._ready: dict[Hashable, OrderedDict[int, None]] = {}
        self._delayed: list[tuple[float, int]] = []
        self._dependents: dict[int, list[int]] = {}
        self._n_missing = {i: len(needed) for i, needed in self.dependencies.items()}
        self._watchers: list[set[int]] = []
        for index, group in enumerate(groups):
            self._ready.setdefault(group, OrderedDict())[index] = None
        for index, needed in self.dependencies.items():
            for other in needed:
                self._dependents.setdefault(other, []).append(index)
            self._move(self.learners[index], WAITING)

    # Questions.

    @property
    def is_complete(self) -> bool:
        """Whether every learner is done, given up or cancelled."""
        over = self.counts[DONE] + self.counts[FAILED] + self.counts[CANCELLED]
        return over == len(self.learners)

    def ready_groups(self) -> Iterator[tuple[Hashable, Collection[int]]]:
        """Yield the groups that have ready learners, with these in the order to take them."""
        return ((group, ready) for group, ready in self._ready.items() if ready)

    def next_ready(self, number: int) -> int | None:
        """Return the learner that job `number` takes next: its own, or the first of its group."""
        ready = self._ready.get(self.groups[number]) if number < len(self.groups) else None
        if not ready:
            return None
        return number if number in ready else next(iter(ready))

    def live_numbers(self) -> set[int]:
        """Return the numbers of all jobs that live or may live."""
        numbers = {job.number for job in self.jobs.values()}
        return numbers.union(*(s.numbers for s in self.submissions.values()))

    def next_pause_end(self) -> float | None:
        """Return when the next learner's pause ends, in seconds since the epoch."""
        return self._delayed[0][0] if self._delayed else None

    def end_pauses(self, now: float) -> None:
        """Make learners ready whose pause is over. This needs no record: time does it again."""
        while self._delayed and self._delayed[0][0] <= now:
            _, index = heapq.heappop(self._delayed)
            entry = self.learners[index]
            if entry.state == DELAYED and entry.ready_at <= now:
                self._move(entry, READY)

    @property
    def n_unscheduled(self) -> int:
        """How many learners no job has, and that are neither done nor given up."""
        return self.counts[WAITING] + self.counts[READY] + self.counts[DELAYED]

    def is_given_up(self, index: int) -> bool:
        """Whether a learner will not be run, as things are."""
        return self.learners[index].state in (FAILED, CANCELLED)

    def is_blocked(self, index: int) -> bool:
        """Whether a learner depends on one that isn't done."""
        return bool(self._n_missing.get(index))

    def dependents(self, index: int) -> Sequence[int]:
        """Return the learners that depend on this one."""
        return self._dependents.get(index, ())

    # Watching.

    def watch(self) -> set[int]:
        """Return a set to which the indices of learners are added when they change."""
        changed: set[int] = set()
        self._watchers.append(changed)
        return changed

    def unwatch(self, changed: set[int]) -> None:
        """Let a set of `watch` be."""
        self._watchers = [watcher for watcher in self._watchers if watcher is not changed]

    def take_watchers(self, other: RunState) -> None:
        """Let those who watch `other` watch this state instead; everything is new to them."""
        self._watchers, other._watchers = other._watchers, []
        for index in range(len(self.learners)):
            self.note_change(index)

    def note_change(self, index: int) -> None:
        """Tell those who watch that something about a learner is new."""
        for changed in self._watchers:
            changed.add(index)

    # Changes.

    def limit_fails(self, max_fails: int) -> None:
        """Give learners up that fail `max_fails` times in a row from now on."""
        self.max_fails = max_fails

    def apply(self, record: j.AnyRecord) -> None:  # noqa: C901, PLR0912, PLR0915  one case a record
        """Take note of what has happened."""
        match record:
            case j.Assigned():
                self._assigned(record)
            case j.Done():
                self._done(record)
            case j.Failed():
                entry = self.learners[record.learner]
                if entry.state == RUNNING:
                    self._let_go(entry)
                    self._fail(entry, record.time, record.error, record.traceback)
            case j.Released():
                self._released(record)
            case j.NothingLeft():
                self._nothing_left(record)
            case j.Submitting():
                self.submissions[record.token] = Submission(
                    record.job_name, tuple(record.numbers), record.time
                )
            case j.Submitted():
                self._submitted(record)
            case j.NotSubmitted():
                self.submissions.pop(record.token, None)
            case j.JobGone():
                self._job_gone(record)
            case j.Retried():
                self._retried(record.learner)
            case j.Cancelled():
                self._cancelled(record.learner)
            case j.Reopened():
                self._reopened(record.learner)
            case j.Troubled():
                self.learners[record.learner].trouble = record.text
                self.note_change(record.learner)
            case j.Paused() | j.Resumed():
                self.is_paused = isinstance(record, j.Paused)
            case j.JobsCancelled():
                living = (self.jobs[i] for i in record.job_ids if i in self.jobs)
                self.leaving.update(job.job_id for job in living if job.learner is None)
            case j.RunEnded():
                self.ended, self.totals.ended = record.status, record.time
                # They are cancelled or not needed any more: that they end is no failure.
                self.leaving.update(i for i, job in self.jobs.items() if job.learner is None)
            case j.ManagerStarted():
                self.ended = self.totals.ended = None
                self.totals.failed_starts_in_a_row = 0
                if self.totals.began is None:
                    self.totals.began = record.time
                for job in self.jobs.values():
                    job.is_inherited = True
                for submission in self.submissions.values():
                    submission.is_inherited = True
            case j.LearnerWas():
                self._learner_was(record)
            case j.JobWas():
                self._job_was(record)
            case j.JobsWereOver():
                self.over, self.missed = record.ended.copy(), set(record.missed)
            case j.TotalsWere():
                self.totals = Totals(
                    record.submitted,
                    record.gone,
                    record.failed_starts_in_a_row,
                    record.starting_times.copy(),
                    Counter(record.ends),
                    record.began,
                )

    def _assigned(self, record: j.Assigned) -> None:
        entry = self.learners[record.learner]
        self._let_go(entry)
        job = self._job_of(record.job, record.job_name, record.job_number, record.time)
        if job.learner is not None:  # it took this one by itself, unheard
            previous = self.learners[job.learner]
            self._let_go(previous)
            self._put_back(previous)
        job.learner = job.last_learner = record.learner
        job.has_worked = True
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

    def _nothing_left(self, record: j.NothingLeft) -> None:
        job = self._job_of(record.job, record.job_name, record.job_number, record.time)
        self.leaving.add(job.job_id)
        self.job_runs(job, record.time)
        self.totals.failed_starts_in_a_row = 0

    def _released(self, record: j.Released) -> None:
        entry = self.learners[record.learner]
        if entry.state == RUNNING:
            entry.error = record.reason
            self._let_go(entry, is_leaving=True)
            self._put_back(entry)

    def _done(self, record: j.Done) -> None:
        entry = self.learners[record.learner]
        self._let_go(entry)
        entry.ended, entry.npoints = record.time, record.npoints
        entry.fails, entry.error, entry.traceback = 0, "", ""
        entry.is_cancelled = False
        self._finish(entry)

    def _finish(self, entry: LearnerEntry) -> None:
        """Make a learner done, and ready what has waited for it last."""
        if entry.state == DONE:
            return
        self._move(entry, DONE)
        for index in self._dependents.get(entry.index, ()):
            self._n_missing[index] -= 1
            other = self.learners[index]
            if other.state == WAITING and not self._n_missing[index]:
                self._move(other, READY)

    def _reopened(self, index: int) -> None:
        """Undo `_finish`; jobs that have what depends on it go on."""
        entry = self.learners[index]
        if entry.state != DONE:
            return
        for other in map(self.learners.__getitem__, self.dependents(index)):
            self._n_missing[other.index] += 1
            if other.state in (READY, DELAYED):
                self._move(other, WAITING)
        self._put_back(entry)

    def _put_back(self, entry: LearnerEntry) -> None:
        """Give a learner that no job has any more the state that it has then."""
        if entry.is_cancelled:
            self._give_up(entry, CANCELLED)
        else:
            self._move(entry, WAITING if self.is_blocked(entry.index) else READY)

    def _fail(self, entry: LearnerEntry, now: float, error: str, traceback: str) -> None:
        entry.fails += 1
        entry.ended, entry.error, entry.traceback = now, error, traceback
        pause = pause_after(entry.fails)
        if entry.fails >= self.max_fails and not entry.is_cancelled:
            self._give_up(entry, FAILED)
        elif pause and not entry.is_cancelled and not self.is_blocked(entry.index):
            entry.ready_at = now + pause
            heapq.heappush(self._delayed, (entry.ready_at, entry.index))
            self._move(entry, DELAYED)
        else:
            self._put_back(entry)

    def _give_up(self, entry: LearnerEntry, state: str) -> None:
        """Give a learner up, and all that depend on it."""
        self._move(entry, state)
        given_up = [entry.index]
        while given_up:
            needed = given_up.pop()
            for other in map(self.learners.__getitem__, self.dependents(needed)):
                if other.state == WAITING:
                    what = "failed" if state == FAILED else "was cancelled"
                    other.error = f"Learner {needed}, on which it depends, {what}."
                    self._move(other, state)
                    given_up.append(other.index)

    def _cancelled(self, index: int) -> None:
        entry = self.learners[index]
        if entry.state == DONE or entry.is_cancelled:
            return
        entry.is_cancelled = True
        self.note_change(index)
        if entry.state != RUNNING:  # else when its job has saved
            self._give_up(entry, CANCELLED)

    def _retried(self, index: int) -> None:
        entry = self.learners[index]
        entry.is_cancelled = False
        if entry.state not in (RUNNING, DONE):
            entry.fails = 0
            self._put_back(entry)

    def _submitted(self, record: j.Submitted) -> None:
        submission = self.submissions.pop(record.token)
        for number, job_id in record.job_ids.items():
            self.over.pop(job_id, None)  # a scheduler that lost its memory gives ids again
            # A quick job may have said hello before its submission was written down.
            job = self.jobs.setdefault(
                job_id, JobEntry(job_id, "", number, record.token, record.time)
            )
            job.job_name, job.token = f"{submission.job_name}-{number}", record.token
        self.totals.submitted += len(record.job_ids)

    def is_over(self, identity: JobIdentity) -> bool:
        """Whether the scheduler has ended a job, whatever becomes of its processes.

        A job that was left out of the queue once, without an end, may come back.
        """
        return identity.restarts <= self.over.get(identity.job_id, -1)

    def is_failed_start(self, job: JobEntry) -> bool:
        """Whether a job that has ended never got as far as asking for a learner."""
        return not job.has_worked and job.job_id not in self.leaving

    def _job_gone(self, record: j.JobGone) -> None:
        job = self.jobs.pop(record.job_id, None)
        self.leaving.discard(record.job_id)
        if job is None:
            return
        if record.is_certain or record.job_id in self.missed:
            self.over[record.job_id] = job.restarts
        else:
            self.missed.add(record.job_id)
        self.totals.gone += 1
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

    def _learner_was(self, record: j.LearnerWas) -> None:
        entry = self.learners[record.learner]
        entry.attempt, entry.fails = record.attempt, record.fails
        entry.error, entry.traceback = record.error, record.traceback
        entry.job, entry.job_name = record.job, record.job_name
        entry.log_fname, entry.host = record.log_fname, record.host
        entry.started, entry.ended, entry.npoints = record.started, record.ended, record.npoints
        entry.is_cancelled, entry.trouble = record.is_cancelled, record.trouble
        entry.last_end = record.last_end
        if record.state == DONE:
            self._finish(entry)
        else:  # a pause need not outlive a compaction
            self._move(entry, READY if record.state == DELAYED else record.state)
        if record.state == RUNNING and record.job is not None:
            job = self.jobs.get(record.job.job_id)
            if job is not None:
                job.learner = record.learner

    def _job_was(self, record: j.JobWas) -> None:
        self.jobs[record.job_id] = JobEntry(
            record.job_id,
            record.job_name,
            record.number,
            record.token,
            record.submitted,
            record.restarts,
            record.started,
            has_worked=record.has_worked,
            last_learner=record.last_learner,
        )
        if record.is_leaving:
            self.leaving.add(record.job_id)

    def _let_go(self, entry: LearnerEntry, *, is_leaving: bool = False) -> None:
        """Take a learner from the job that has it."""
        if entry.state == RUNNING and entry.job is not None:
            job = self.jobs.get(entry.job.job_id)
            if job is not None and job.learner == entry.index:
                job.learner = None
                if is_leaving:
                    self.leaving.add(job.job_id)

    def _move(self, entry: LearnerEntry, state: str) -> None:
        """Change a learner's state; every change goes through here."""
        self.counts[entry.state] -= 1
        self.counts[state] += 1
        self.note_change(entry.index)
        group = self.groups[entry.index]
        if entry.state == READY:
            self._ready[group].pop(entry.index, None)
        if state == READY:
            self._ready[group][entry.index] = None
        entry.state = state


def attempt_of(entry: LearnerEntry) -> Attempt:
    """Return the current attempt of a learner that is running."""
    return Attempt(entry.index, entry.attempt)
