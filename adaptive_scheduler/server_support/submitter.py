"""Submits the jobs that are missing; each step is on disk before the next is done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler.errors import RunFolderLockedError, SubmissionRejectedError
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.server_support.batches import BatchMaker
from adaptive_scheduler.server_support.planning import SubmissionPause, numbers_to_submit

if TYPE_CHECKING:
    from adaptive_scheduler.scheduler.base import BaseScheduler, Batch
    from adaptive_scheduler.scheduler.resources import Resources
    from adaptive_scheduler.server_support.database_manager import DatabaseManager

#: Seconds between two looks whether to go on waiting for a disk that takes nothing.
_DISK_PATIENCE = 1.0
#: Seconds before a job script that could not be written is tried again.
_DISK_PAUSE = 2.0


class Submitter:
    """Submits jobs, those with equal resources together.

    Parameters
    ----------
    job_name
        What the names of the jobs begin with.
    database_manager
        Who has which learner, and which jobs there are.
    scheduler
        Where the jobs run.
    workdir
        The folder in which they start.
    on_trouble
        Called with an error that a later try may mend.
    """

    def __init__(
        self,
        job_name: str,
        database_manager: DatabaseManager,
        scheduler: BaseScheduler,
        workdir: Path,
        on_trouble: Callable[[Exception], None],
    ) -> None:
        self._job_name = job_name
        self._database = database_manager
        self._scheduler = scheduler
        self._workdir = workdir
        self._on_trouble = on_trouble
        self._batches = BatchMaker(job_name, database_manager.run_folder, scheduler)
        self._is_stopping = False
        #: How long nothing is submitted.
        self.pause = SubmissionPause()

    def stop_soon(self) -> None:
        """Wait no longer for a disk that takes nothing."""
        self._is_stopping = True

    async def submit_missing(self, max_jobs: int) -> bool:
        """Submit so many jobs that there are as many as there is work for, up to `max_jobs`.

        Returns
        -------
        bool
            Whether the queue is worth a look out of turn.

        Raises
        ------
        SubmissionRejectedError
            If the scheduler will never take such a job.
        RunFolderLockedError
            If the run has another manager meanwhile.
        """
        state = self._database.state
        if time.time() < self.pause.until or state.is_paused:
            return False
        wanted = numbers_to_submit(state, len(state.learners), max_jobs)
        by_resources = await asyncio.to_thread(self._batches.by_resources, wanted)
        return any([await self._submit(*batch) for batch in by_resources.items()])

    async def _submit(self, resources: Resources, numbers: list[int]) -> bool:
        database = self._database
        try:
            batch = await asyncio.to_thread(
                self._batches.make, resources, numbers, self._workdir, database.state.run_id
            )
        except OSError as error:
            self._on_trouble(error)
            self.pause.hold(time.time() + _DISK_PAUSE)
            return False
        database.record.append(
            events.Submitting(
                time=time.time(), token=batch.token, job_name=self._job_name, numbers=numbers
            )
        )
        with database.reconciler.submitting(batch.token):
            is_worth_a_look = await self._hand_in(batch)
        await self._written_down()
        return is_worth_a_look

    async def _hand_in(self, batch: Batch) -> bool:
        """Submit what is about to be written down as being submitted."""
        database = self._database
        try:
            if not await self._written_down():
                return False
            job_ids = await asyncio.to_thread(self._scheduler.submit, batch)
            # The queue's first words are awaited.
            is_worth_a_look = database.state.totals.submitted == 0
            database.record.append(
                events.Submitted(time=time.time(), token=batch.token, job_ids=job_ids)
            )
        except SubmissionRejectedError as error:
            database.record.append(
                events.NotSubmitted(time=time.time(), token=batch.token, reason=str(error))
            )
            raise
        except RunFolderLockedError:
            raise
        except Exception as error:  # noqa: BLE001  a scheduler that errs must not end the run
            self._on_trouble(error)
            is_worth_a_look = True  # the queue tells what became of it
        return is_worth_a_look

    async def _written_down(self) -> bool:
        """Wait until the disk has taken everything; False if this manager is to end before."""
        while not await self._database.flushed(_DISK_PATIENCE):
            if self._is_stopping:
                return False
            await asyncio.to_thread(self._database.check_lock)
        return True
