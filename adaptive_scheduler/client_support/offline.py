"""Which learners a job may take when nobody answers: the run folder knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from adaptive_scheduler import journal as j
from adaptive_scheduler.protocol import Attempt, JobIdentity

if TYPE_CHECKING:
    from pathlib import Path

    from adaptive_scheduler.settings import JobSettings


class LastKnown:
    """What the journal says of each learner.

    Parameters
    ----------
    journal
        The journal's path.
    """

    def __init__(self, journal: Path) -> None:
        #: Number of the last attempt at each learner that was ever begun.
        self.attempts: dict[int, int] = {}
        #: Learners that no job may take: another has them, or they are done or given up.
        self.taken: set[int] = set()
        self.done: set[int] = set()
        self.has_ended = False
        self._held_by: dict[str, int] = {}
        for record in j.read_journal(journal):
            self._note(record)

    def _note(self, record: j.AnyRecord) -> None:
        match record:
            case j.Assigned():
                self._taken_by(record.learner, record.number, record.job)
            case j.Done():
                self.done.add(record.learner)
                self.taken.add(record.learner)
            case j.Failed() | j.Released() | j.Retried():
                self.taken.discard(record.learner)
            case j.JobGone():
                index = self._held_by.pop(record.job_id, None)
                if index is not None and index not in self.done:
                    self.taken.discard(index)
            case j.LearnerWas():
                self._was(record)
            case j.RunEnded() | j.ManagerStarted():
                self.has_ended = isinstance(record, j.RunEnded)

    def _taken_by(self, learner: int, number: int, job: JobIdentity) -> None:
        self.attempts[learner] = number
        self.taken.add(learner)
        self._held_by[job.job_id] = learner

    def _was(self, record: j.LearnerWas) -> None:
        self.attempts[record.learner] = record.attempt
        if record.state == "running" and record.job is not None:
            self._taken_by(record.learner, record.attempt, record.job)
        elif record.state in ("done", "failed"):
            self.taken.add(record.learner)
        if record.state == "done":
            self.done.add(record.learner)


def free_attempts(settings: JobSettings, number: int, n_learners: int) -> Iterator[Attempt]:
    """Yield the attempts that job `number` may claim by itself, that at its own learner first."""
    known = LastKnown(settings.journal)
    if known.has_ended:
        return
    groups, needed = settings.groups, settings.dependencies
    for index in [number, *range(n_learners)]:
        if index in known.taken or (groups is not None and groups[index] != groups[number]):
            continue
        if all(other in known.done for other in needed.get(index, ())):
            yield Attempt(index, known.attempts.get(index, 0) + 1)


def was_assigned(settings: JobSettings, attempt: Attempt) -> bool:
    """Whether the manager has given this attempt to a job."""
    known = LastKnown(settings.journal)
    return known.attempts.get(attempt.learner, 0) >= attempt.number
