"""What the run folder says of learners, also when nobody answers.

It shows whether a job still has its learner, and which learners it may take.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler.client_support.job_log import note
from adaptive_scheduler.errors import AdaptiveSchedulerError, RunFolderError
from adaptive_scheduler.protocol.messages import Attempt, JobIdentity
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import JournalFollower
from adaptive_scheduler.run_folder.models import DELAYED, READY, RUNNING
from adaptive_scheduler.run_folder.outbox import Outbox
from adaptive_scheduler.run_folder.state import RunState

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.spec import RunSpec


class SupersededError(AdaptiveSchedulerError):
    """Another job has the learner by now."""


class Fence:
    """Keeps a job from saving over the data of another one that has its learner by now.

    That a learner was given to a job is on disk before the job hears of it. So
    a job that looks here right before it saves sees who came after it, be it
    that it was stopped for a day, or cut off from the network.

    Parameters
    ----------
    journal, outbox
        Where jobs are given learners, and where they take them unasked.
    job
        Who this job is.
    """

    def __init__(self, journal: Path, outbox: Outbox, job: JobIdentity) -> None:
        self._follower = JournalFollower(journal, from_end=True)
        self._outbox = outbox
        self._job = job
        #: The last attempt at each learner that was given to another job meanwhile.
        self._others: dict[int, int] = {}

    def check(self, attempt: Attempt) -> None:
        """Look whether this job still has its learner, in `attempt`. Blocks.

        Raises
        ------
        SupersededError
            If another job has it.
        """
        is_claimed = False
        try:
            for record in self._follower.new_records():
                self._note(record)
            is_claimed = self._outbox.is_claimed(Attempt(attempt.learner, attempt.number + 1))
        except (OSError, RunFolderError) as error:  # to lose our points would be worse
            note("the run folder can't be read", level=logging.WARNING, error=str(error))
        if is_claimed or self._others.get(attempt.learner, 0) >= attempt.number:
            raise SupersededError(f"Another job has learner {attempt.learner}.")

    def _note(self, record: events.AnyRecord) -> None:
        if not isinstance(record, events.Assigned | events.LearnerWas) or record.job in (
            None,
            self._job,
        ):
            return
        number = record.number if isinstance(record, events.Assigned) else record.attempt
        self._others[record.learner] = number


class FollowedRun:
    """A run as its journal shows it to a job that nobody answers.

    Each question reads what was added since the last one.

    Parameters
    ----------
    spec
        The parameters of the run.
    n_learners
        How many learners there are.
    """

    def __init__(self, spec: RunSpec, n_learners: int) -> None:
        self._n_learners = n_learners
        self._start(spec)

    def _start(self, spec: RunSpec) -> None:
        self._follower = JournalFollower(spec.run_folder.journal)
        self._dependencies = dict(spec.dependencies or {})
        self._max_fails = spec.max_fails_per_job
        self._state = RunState(
            spec.groups or [0] * self._n_learners,
            dependencies=self._dependencies,
            max_fails=self._max_fails,
            keep_history=False,
        )

    def renew(self, spec: RunSpec) -> None:
        """Follow the run by what its latest manager has declared."""
        declared = dict(spec.dependencies or {}), spec.max_fails_per_job
        if declared != (self._dependencies, self._max_fails):
            self._start(spec)

    def free_attempts(self, number: int) -> Iterator[Attempt]:
        """Yield the attempts that job `number` may claim by itself, at its own learner first.

        A job that is alone does not wait for the end of a pause after failures.

        Raises
        ------
        OSError, RunFolderError
            If the journal can't be read.
        """
        state = self._refreshed()
        learners = state.learners
        if state.ended is not None:
            return
        free = sorted((*learners.in_state(READY), *learners.in_state(DELAYED)))
        group = learners.groups[number]
        for index in sorted(free, key=lambda index: index != number):
            if learners.groups[index] == group:
                yield Attempt(index, learners.attempt_of(index) + 1)

    def given_attempt(self, job: JobIdentity) -> Attempt | None:
        """Return what the manager has given to this very job, which may not have heard of it.

        Raises
        ------
        OSError, RunFolderError
            If the journal can't be read.
        """
        state = self._refreshed()
        entry = state.jobs.get(job.job_id)
        if state.ended is not None or entry is None or (index := entry.learner) is None:
            return None
        learners = state.learners
        is_ours = learners.state_of(index) == RUNNING and learners.holder_of(index) == job
        if not is_ours or index in learners.cancelled:
            return None
        return Attempt(index, learners.attempt_of(index))

    def was_assigned(self, attempt: Attempt) -> bool:
        """Whether the manager has given this attempt to a job.

        Raises
        ------
        OSError, RunFolderError
            If the journal can't be read.
        """
        return self._refreshed().learners.attempt_of(attempt.learner) >= attempt.number

    def _refreshed(self) -> RunState:
        for record in self._follower.new_records():
            self._state.apply(record)
        return self._state
