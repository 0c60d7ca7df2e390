"""Which learners a job may take when nobody answers: the run folder knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from adaptive_scheduler.protocol.messages import Attempt, JobIdentity
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import read_journal

if TYPE_CHECKING:
    from pathlib import Path

    from adaptive_scheduler.run_folder.settings import JobSettings


class LastKnown:
    """What the journal says of each learner.

    Parameters
    ----------
    journal
        The journal's path.
    max_fails
        Failures in a row after which a learner is given up.
    """

    def __init__(self, journal: Path, max_fails: int = 50) -> None:
        #: Number of the last attempt at each learner that was ever begun.
        self.attempts: dict[int, int] = {}
        self.done: set[int] = set()
        self.has_ended = False
        self._max_fails = max_fails
        self._fails: Counter[int] = Counter()
        self._given_up: set[int] = set()
        self._cancelled: set[int] = set()
        self._job_of: dict[int, JobIdentity] = {}
        self._learner_of: dict[str, int] = {}
        self._number_of: dict[str, int] = {}
        for record in read_journal(journal):
            self._note(record)

    def is_free(self, learner: int) -> bool:
        """Whether a job may take a learner: none has it, and somebody waits for it."""
        not_free = (self._job_of, self.done, self._given_up, self._cancelled)
        return not any(learner in learners for learners in not_free)

    def attempt_of(self, job: JobIdentity) -> Attempt | None:
        """Return the attempt that a job was given last, if it has not ended."""
        learner = self._learner_of.get(job.job_id)
        if learner is None or learner in self._cancelled or self._job_of[learner] != job:
            return None
        return Attempt(learner, self.attempts[learner])

    def _note(self, record: events.AnyRecord) -> None:  # noqa: C901, PLR0912  one case a record
        match record:
            case events.Assigned():
                self.attempts[record.learner] = record.number
                self._take(record.learner, record.job)
            case events.Done():
                self._let_go(record.learner)
                self._cancelled.discard(record.learner)
                self.done.add(record.learner)
            case events.Reopened():
                self.done.discard(record.learner)
            case events.Cancelled():
                if record.learner not in self.done:
                    self._cancelled.add(record.learner)
            case events.Failed():
                if record.learner in self._job_of:
                    self._fail(record.learner)
            case events.Released():
                self._let_go(record.learner)
            case events.Retried():
                self._given_up.discard(record.learner)
                self._cancelled.discard(record.learner)
                del self._fails[record.learner]
            case events.Submitted():
                self._number_of |= {job_id: number for number, job_id in record.job_ids.items()}
            case events.JobWas():
                self._number_of[record.job_id] = record.number
            case events.JobGone():
                self._job_gone(record)
            case events.LearnerWas():
                self._was(record)
            case events.RunEnded() | events.ManagerStarted():
                self.has_ended = isinstance(record, events.RunEnded)

    def _take(self, learner: int, job: JobIdentity) -> None:
        self._let_go(learner)
        if (previous := self._learner_of.get(job.job_id)) is not None:
            self._let_go(previous)
        self._job_of[learner], self._learner_of[job.job_id] = job, learner

    def _let_go(self, learner: int) -> None:
        if (job := self._job_of.pop(learner, None)) is not None:
            del self._learner_of[job.job_id]

    def _fail(self, learner: int) -> None:
        self._let_go(learner)
        self._fails[learner] += 1
        if self._fails[learner] >= self._max_fails:
            self._given_up.add(learner)

    def _job_gone(self, record: events.JobGone) -> None:
        number = self._number_of.pop(record.job_id, None)
        learner = self._learner_of.get(record.job_id)
        if learner is None and record.is_failed_start and number is not None:
            learner = number if self.is_free(number) else None
        if learner is not None and record.is_no_fault:
            self._let_go(learner)
        elif learner is not None:
            self._fail(learner)

    def _was(self, record: events.LearnerWas) -> None:
        self.attempts[record.learner] = record.attempt
        self._fails[record.learner] = record.fails
        if record.is_cancelled:
            self._cancelled.add(record.learner)
        match record.state:
            case "running" if record.job is not None:
                self._take(record.learner, record.job)
            case "done":
                self.done.add(record.learner)
            case "failed":
                self._given_up.add(record.learner)


def free_attempts(settings: JobSettings, number: int, n_learners: int) -> Iterator[Attempt]:
    """Yield the attempts that job `number` may claim by itself, that at its own learner first."""
    known = LastKnown(settings.journal, settings.max_fails)
    if known.has_ended:
        return
    groups, needed = settings.groups, settings.dependencies
    for index in [number, *range(n_learners)]:
        if not known.is_free(index) or (groups is not None and groups[index] != groups[number]):
            continue
        if all(other in known.done for other in needed.get(index, ())):
            yield Attempt(index, known.attempts.get(index, 0) + 1)


def given_attempt(settings: JobSettings, job: JobIdentity) -> Attempt | None:
    """Return what the manager has given to this very job, which may not have heard of it."""
    known = LastKnown(settings.journal, settings.max_fails)
    return None if known.has_ended else known.attempt_of(job)


def was_assigned(settings: JobSettings, attempt: Attempt) -> bool:
    """Whether the manager has given this attempt to a job."""
    known = LastKnown(settings.journal)
    return known.attempts.get(attempt.learner, 0) >= attempt.number
