"""Keeps as many jobs in the queue as there is work for."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Unpack

from adaptive_scheduler._common.signatures import Face
from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    MaxRestartsReachedError,
    SchedulerUnavailableError,
)
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.functions import Functions
from adaptive_scheduler.run_folder.layout import unwritable_error, write_private
from adaptive_scheduler.run_folder.options import JobManagerOptions
from adaptive_scheduler.run_folder.spec import RunSpec, parameters_of
from adaptive_scheduler.scheduler.base import BaseScheduler
from adaptive_scheduler.server_support.base_manager import BaseManager
from adaptive_scheduler.server_support.crash_report import failed_starts_report
from adaptive_scheduler.server_support.event_loop import event_loop
from adaptive_scheduler.server_support.ownership import known_as_ours
from adaptive_scheduler.server_support.planning import leftover_jobs, unheard_jobs
from adaptive_scheduler.server_support.queue_poller import QueuePoller
from adaptive_scheduler.server_support.submitter import Submitter
from adaptive_scheduler.server_support.unwanted import UnwantedJobs
from adaptive_scheduler.server_support.validation import common_beginning

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.database_manager import DatabaseManager

log = logging.getLogger(__name__)

#: Longest time in seconds between two looks at a queue on this machine, which cost nothing.
_LOCAL_INTERVAL = 2.0
#: Seconds that running jobs get, at the end of a run, to hear that nothing is left.
_LAST_JOBS_PATIENCE = 10.0


#: The parameters of a run that are its own here, with their names and defaults.
JOB_FACE: Final = Face(
    "JobManager",
    RunSpec,
    shown=parameters_of("jobs", "job_manager"),
    defaults={"job_manager_interval": 30, "log_interval": 60, "save_dataframe": True},
    names={"job_manager_interval": "interval"},
)


@JOB_FACE
class JobManager(BaseManager):
    """Submits jobs, watches the queue, and submits again what failed.

    It ends when every learner is done or given up.

    Parameters
    ----------
    job_names
        ``"{name}-0"``, ``"{name}-1"`` and so on: one for each learner.
    database_manager
        Who has which learner; must have been started before.
    scheduler
        Where the jobs run.
    interval
        Seconds between two looks at the queue; fewer where it is on this machine.
    spec
        All parameters of the run, where a `RunManager` has declared them;
        nothing else is given then.
    **options
        See `RunSpec`.

    Raises
    ------
    TypeError
        If there is no such keyword.
    InvalidInputError
        If a value can't be.
    """

    def __init__(
        self,
        job_names: Sequence[str],
        database_manager: DatabaseManager,
        scheduler: BaseScheduler,
        interval: float = 30,
        *,
        spec: RunSpec | None = None,
        **options: Unpack[JobManagerOptions],
    ) -> None:
        super().__init__()
        self.name = common_beginning(job_names, len(database_manager.learners))
        self.job_names = list(job_names)
        self.database_manager = database_manager
        self.scheduler = scheduler
        #: What the run is, from the declaration of its parameters on.
        self.spec = spec or _spec_of(
            self.name, database_manager, JOB_FACE.read({"interval": interval, **options})
        )
        self.interval = self.spec.job_manager_interval
        self.max_simultaneous_jobs = self.spec.max_simultaneous_jobs
        self.max_fails_per_job = self.spec.max_fails_per_job
        database_manager.state.limit_fails(self.max_fails_per_job)
        self._functions = Functions.of(self.spec, scheduler)  # what can't travel is said now
        self._woken = asyncio.Event()
        self._is_settled = asyncio.Event()
        self._has_ended = False
        self._is_stopping = False
        self._submitter = Submitter(
            self.name, database_manager, scheduler, self.spec.project.folder, self._note_trouble
        )
        self._queue = QueuePoller()
        self._next_look = 0.0
        self._last_look = 0.0
        self._is_looking = False
        self._unwanted = UnwantedJobs()
        #: What the scheduler has said last, if it could not do as it was asked.
        self.trouble: str = ""

    @property
    def max_job_starts(self) -> int:
        """How many starts of jobs there may be at the very most."""
        return self.max_fails_per_job * len(self.job_names)

    @property
    def n_started(self) -> int:
        """How many jobs have been submitted."""
        return event_loop.call(lambda: self.database_manager.state.totals.submitted)

    def trigger(self) -> None:
        """Look at the queue now, and submit what is missing."""
        event_loop.call(self._look_now)

    def cancel(self) -> None:
        """Stop managing; jobs go on. A submission that is under way is waited for."""
        if self.task is not None and not self.task.done():
            event_loop.call(self.stop_soon)
            concurrent.futures.wait([self.task])

    def stop_soon(self) -> None:
        """Have the task end after what it is doing now: call it on the event loop."""
        self._is_stopping = True
        self._submitter.stop_soon()
        self._woken.set()

    @property
    def has_ended(self) -> bool:
        """Whether nothing is looked at or submitted any more."""
        return self._has_ended

    def choose_unwanted(self) -> None:
        """Have jobs end soon that are there for cancelled learners: call it on the event loop."""
        database = self.database_manager
        self._unwanted.choose(database.state, database.reconciler.started())
        self._woken.set()

    async def settled(self) -> bool:
        """Wait, on the event loop, until nothing is left to submit now; return whether it ended."""
        await self._is_settled.wait()
        return self._has_ended

    def _look_now(self) -> None:
        self._next_look = 0.0
        self._woken.set()

    def _hurry(self) -> None:
        """Look at the queue soon: a job seems to have ended."""
        soon = self._last_look + self.scheduler.min_poll_interval
        self._next_look = min(self._next_look, max(soon, time.time()))
        self._woken.set()

    def _setup(self) -> None:
        folder = self.database_manager.run_folder
        try:
            write_private(folder.functions, self._functions.to_bytes())
            run_id = self.database_manager.state.run_id
            self.spec = self.spec.begun(run_id, self.scheduler.as_data())
            write_private(folder.spec, self.spec.to_json())
        except OSError as error:
            raise unwritable_error(folder, error) from error
        event_loop.call(self._attach)

    def _attach(self) -> None:
        self.database_manager.listeners.add(on_change=self._woken.set, on_hurry=self._hurry)
        self._queue = event_loop.queues.join(self.scheduler, self._hear)
        self.choose_unwanted()

    def _hear(self, asked_at: float) -> None:
        """Take note of a look at the queue by another manager; one of our own is awaited."""
        if asked_at > self._last_look and not self._is_looking:
            self._look_now()

    async def _manage(self) -> None:
        try:
            await self._keep_submitting()
        finally:
            event_loop.queues.leave(self._queue, self._hear)
            self._has_ended = True
            self._is_settled.set()

    async def _keep_submitting(self) -> None:
        state = self.database_manager.state
        while not self._is_stopping:
            self._woken.clear()
            self._is_settled.clear()
            if time.time() >= self._next_look:
                await self._look()
            self.database_manager.record.watched.end_pauses(time.time())
            if state.learners.is_complete:
                await self._end_last_jobs()
                if state.learners.is_complete:  # nobody wanted a retry meanwhile
                    return
            self._check_starts()
            await self._cancel_unwanted()
            await asyncio.to_thread(self.database_manager.check_lock)
            if await self._submitter.submit_missing(self.max_simultaneous_jobs):
                self._hurry()
            self._is_settled.set()
            await self._wait()

    async def _wait(self) -> None:
        """Sleep until something happens or is due."""
        if self._is_stopping:
            return
        state, now = self.database_manager.state, time.time()
        due = [self._next_look, state.learners.next_pause_end(), self._unwanted.next_due()]
        if self._submitter.pause.until > now:
            due.append(self._submitter.pause.until)
        timeout = max(0.0, min(t for t in due if t is not None) - now)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), timeout)

    async def _look(self) -> None:
        """Ask the queue once for all jobs. Without an answer, nothing that we believe changes."""
        previous_look = self._last_look
        self._looked(time.time())
        state = self.database_manager.state
        if not state.jobs and not state.submissions:
            return
        self._is_looking = True
        try:
            look = await self._queue.look(self.scheduler, newer_than=previous_look)
        except Exception as error:  # noqa: BLE001  a scheduler that errs must not end the run
            self._note_trouble(error)
            return
        finally:
            self._is_looking = False
        self.trouble = ""
        wanted = self._next_look  # sooner, if somebody has asked for another one meanwhile
        self._looked(look.asked_at)
        self._next_look = min(self._next_look, wanted)
        await self.database_manager.outbox_reader.read()
        await self.database_manager.reconciler.reconcile(look.queue, look.asked_at)
        self._submitter.pause.note(state.totals.failed_starts_in_a_row, time.time())
        if state.leaving:
            self._hurry()

    def _looked(self, at: float) -> None:
        is_cheap = self.scheduler.is_local
        self._last_look = at
        self._next_look = at + min(self.interval, _LOCAL_INTERVAL if is_cheap else math.inf)

    def _note_trouble(self, error: Exception) -> None:
        words = str(error) if isinstance(error, AdaptiveSchedulerError) else repr(error)
        if words != self.trouble:
            log.warning("%s", words)
        self.trouble = words

    def _check_starts(self) -> None:
        """Give up when jobs again and again end before they have begun."""
        state = self.database_manager.state
        n_failed = state.totals.failed_starts_in_a_row
        if n_failed >= self.max_fails_per_job:
            last = max(state.learners, key=lambda entry: (entry.ended or 0.0, entry.index))
            raise MaxRestartsReachedError(
                failed_starts_report(self.name, self.database_manager.run_folder, n_failed, last)
            )

    async def _cancel_unwanted(self) -> None:
        """Ask the scheduler to end jobs that nobody needs, and again those that stay."""
        database, now = self.database_manager, time.time()
        due = self._unwanted.due(database.state, database.reconciler.queue, now)
        if not due:
            return
        database.record.append(events.JobsCancelled(time=now, job_ids=due))
        try:
            await asyncio.to_thread(self.scheduler.cancel_ids, due)
        except Exception as error:  # noqa: BLE001  as for the queue
            self._note_trouble(error)
        self._hurry()

    async def _end_last_jobs(self) -> None:
        """Let running jobs hear that nothing is left, then cancel what is still in the queue."""
        state = self.database_manager.state
        deadline = time.time() + _LAST_JOBS_PATIENCE
        started = self.database_manager.reconciler.started
        while unheard_jobs(state, started()) and time.time() < deadline and not self._is_stopping:
            self._woken.clear()
            self._next_look = min(self._next_look, deadline)
            await self._wait()
            if time.time() >= self._next_look:
                await self._look()
        queue = self.database_manager.reconciler.queue
        if left := known_as_ours(state, leftover_jobs(state), queue):
            try:
                await asyncio.to_thread(self.scheduler.cancel_ids, left)
            except SchedulerUnavailableError as error:
                self._note_trouble(error)


def _spec_of(name: str, database_manager: DatabaseManager, options: dict[str, Any]) -> RunSpec:
    """Declare a run of managers that were made one by one."""
    its_own = {
        "job_name": name,
        "url": database_manager.url,
        "dependencies": database_manager.dependencies,
        "max_log_lines": database_manager.max_log_lines,
        "kill_on_error": None,
    }
    return RunSpec.of(
        database_manager.scheduler,
        database_manager.learners,
        {**its_own, **options},
        run_folder=database_manager.run_folder,
        project=database_manager.project,
    )
