"""Whether a job still has its learner: the journal knows, also when nobody answers."""

from __future__ import annotations

import logging
from pathlib import Path

from adaptive_scheduler.client_support.job_log import note
from adaptive_scheduler.errors import AdaptiveSchedulerError, RunFolderError
from adaptive_scheduler.protocol.messages import Attempt, JobIdentity
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import JournalFollower
from adaptive_scheduler.run_folder.outbox import Outbox


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
