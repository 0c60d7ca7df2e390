"""How a run starts, goes on and ends."""

from __future__ import annotations

import abc
import asyncio
import concurrent.futures
import contextlib
import threading
import time
from collections.abc import Collection, Hashable, Sequence
from typing import TYPE_CHECKING

from adaptive_scheduler.errors import (
    MaxRestartsReachedError,
    RunFolderError,
    RunFolderLockedError,
    SchedulerUnavailableError,
)
from adaptive_scheduler.learners.goals import GoalTypes
from adaptive_scheduler.learners.pack import Pack
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.models import DONE, FAILED, READY
from adaptive_scheduler.run_folder.spec import RunSpec
from adaptive_scheduler.server_support.cleaning import put_logs_away
from adaptive_scheduler.server_support.crash_report import given_up_report
from adaptive_scheduler.server_support.event_loop import event_loop
from adaptive_scheduler.server_support.goal_check import done_in_memory, not_done_on_disk
from adaptive_scheduler.server_support.ownership import jobs_to_end, known_as_ours
from adaptive_scheduler.server_support.run_report import Outcome
from adaptive_scheduler.server_support.run_waiting import RunWaiting

if TYPE_CHECKING:
    from typing import Self

    from adaptive_scheduler.scheduler.base import BaseScheduler
    from adaptive_scheduler.server_support.monitor import Monitor
    from adaptive_scheduler.server_support.run_manager import RunManager

#: Seconds that cancelled jobs get to save, before the manager stops listening.
_GRACE = 30.0


class RunLife(RunWaiting):
    """The side of a `RunManager` that brings its managers to life, and to their end."""

    goal: GoalTypes
    spec: RunSpec
    monitor: Monitor
    _take_over: bool
    _retry_at_start: Collection[int] | None
    _is_to_end: asyncio.Event
    _has_asked_scheduler: threading.Event
    _wait_for: RunManager | None

    @abc.abstractmethod
    def _make_managers(self) -> None:
        """Make all managers anew."""

    def start(self, wait_for: RunManager | None = None) -> Self:
        """Start the run, or go on with it where its folder says it was.

        A run that is over may be started again.

        Parameters
        ----------
        wait_for
            Another run that must be over before.

        Raises
        ------
        AdaptiveSchedulerError
            If it is under way.
        RunFolderError
            If the folder can't be used, or another manager holds it.
        UnpicklableError
            If a learner can't travel to a job.
        InvalidInputError
            If no job can get what the scheduler is to ask for.
        """
        if self.task is not None and self.task.done():
            self._begin_again()
        self._retry_at_start = None
        return self._start(wait_for)

    def _restart(self, retry: Collection[int]) -> None:
        if self.task is not None:
            self._begin_again()
        self._retry_at_start = retry
        self._start(None)

    def _start(self, wait_for: RunManager | None) -> Self:
        self._wait_for = wait_for
        before = self.start_time, self.end_time
        self.start_time, self.end_time = time.time(), None
        try:
            return super().start()
        except BaseException:  # Ctrl-C as well: the run has not begun
            self.start_time, self.end_time = before
            raise

    def _begin_again(self) -> None:
        """Make everything anew that has come to its end."""
        self.spec = self.spec.continued()
        self._make_managers()
        self.task = None

    def _setup(self) -> None:
        if self._wait_for is None:
            self._start_managers()

    def _start_managers(self) -> None:
        _check_resources(self.scheduler, self.database_manager.groups)
        self.database_manager.check_record()  # a mistake here must stop no run that goes on
        event_loop.take_over(self.run_folder.root, self)
        try:
            self.database_manager.start(retry=self._retry_at_start, take_over=self._take_over)
            if self.spec.cleanup_first:
                self._cancel_leftovers()
            event_loop.call(self._note_reopened, self._no_longer_done())
            if self.spec.check_goal_on_start:
                event_loop.call(self._note_done, self._already_done())
            self.job_manager.start()
            event_loop.call(self._listen)
        except BaseException:  # Ctrl-C as well: the run is held by nobody then
            self.database_manager.cancel()
            event_loop.give_up(self.run_folder.root, self)
            raise
        self.monitor.start()
        if self.kill_manager is not None:
            self.kill_manager.start()

    def _listen(self) -> None:
        self.database_manager.listeners.add(on_cancel=lambda: self._stop("cancelled"))
        self.database_manager.listeners.on_steer = self._steer

    def _already_done(self) -> list[int]:
        return done_in_memory(
            self.learners,
            self.database_manager.resolved,
            self.goal,
            with_progress_bar=not self.quiet,
        )

    def _no_longer_done(self) -> list[int]:
        """Return the learners that are done by the goal of the last time, and not by this one."""
        database, spec = self.database_manager, self.spec
        done = event_loop.call(
            lambda: [e.index for e in database.state.learners if e.state == DONE]
        )
        if not done:
            return []
        with contextlib.suppress(RunFolderError):  # there is no spec of an earlier time
            before = RunSpec.read(self.run_folder.root)
            if before.goal_digest == spec.goal_digest:
                return []
        pack = Pack(self.run_folder.pack)
        return list(not_done_on_disk(pack, database.resolved, spec.goal_function, done))

    def _note_reopened(self, indices: Sequence[int]) -> None:
        for index in indices:
            self.database_manager.record.append(events.Reopened(time=time.time(), learner=index))

    def _note_done(self, indices: Sequence[int]) -> None:
        for index in indices:
            if self.database_manager.state.learners[index].state == READY:
                npoints = self.learners[index].npoints
                self.database_manager.record.append(
                    events.Done(time=time.time(), learner=index, npoints=npoints)
                )

    def _cancel_leftovers(self) -> None:
        """Cancel the jobs that the journal of this folder knows, and put their logs away."""
        state = self.database_manager.state
        if event_loop.call(lambda: bool(state.jobs or state.submissions)):
            queue = self.scheduler.queue()
            if living := event_loop.call(jobs_to_end, state, queue):
                self.scheduler.cancel_ids(living)
            self.database_manager.update()
        put_logs_away(self.run_folder, self.job_name, self.scheduler.ext)

    async def _manage(self) -> None:
        if self._wait_for is not None:
            await self._wait_for_turn(self._wait_for)
            if self._outcome is not None:
                self._has_asked_scheduler.set()
                return
            await asyncio.to_thread(self._start_managers)
        try:
            await self.job_manager.over()
            if self.database_manager.state.learners.is_complete:
                self._raise_if_failed()
                self._outcome = "finished"
            elif self._outcome == "cancelled":
                await self._cancel_jobs()
        except MaxRestartsReachedError:
            self._outcome = "failed"
            if not self.database_manager.state.learners.is_complete:  # jobs end before they begin
                with contextlib.suppress(SchedulerUnavailableError):
                    await self._cancel_jobs()
            raise
        except RunFolderLockedError:  # somebody else manages the run, and its jobs, by now
            self._outcome = None
            raise
        except Exception:  # raised again: no job is left without a manager
            self._outcome = "failed"
            await self._cancel_jobs()
            raise
        finally:
            self.end_time = time.time()
            await self._close()

    async def _wait_for_turn(self, other: RunManager) -> None:
        """Wait until another run is over, or this one is to end before it has begun."""
        either = (other.ended(), self._is_to_end.wait())
        waiting = [asyncio.ensure_future(end) for end in either]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for future in waiting:
            future.cancel()

    async def ended(self) -> None:
        """Wait, on the event loop, until the run is over, however it ended."""
        if self.task is not None:
            await asyncio.wait([asyncio.wrap_future(self.task)])

    async def _cancel_jobs(self) -> None:
        """Cancel all jobs of this run, and give them time to save."""
        database = self.database_manager
        database.handler.stop()
        try:
            state = database.state
            living = known_as_ours(state, state.jobs, database.reconciler.queue)
            if state.submissions or len(living) < len(state.jobs):
                queue = await asyncio.to_thread(self.scheduler.queue)
                living = jobs_to_end(state, queue)
            if living:
                await asyncio.to_thread(self.scheduler.cancel_ids, living)
        finally:
            self._has_asked_scheduler.set()
        deadline = time.time() + _GRACE
        while database.state.jobs and time.time() < deadline:
            await asyncio.sleep(min(self.scheduler.min_poll_interval, 1.0))
            with contextlib.suppress(SchedulerUnavailableError):
                await asyncio.to_thread(database.update)

    async def _close(self) -> None:
        if self.kill_manager is not None:
            self.kill_manager.cancel()
        if self._outcome is not None:
            self.database_manager.record.append(
                events.RunEnded(time=time.time(), status=self._outcome)
            )
        await self.monitor.stop()
        await self.database_manager.stop()
        event_loop.give_up(self.run_folder.root, self)
        self._has_asked_scheduler.set()

    def _raise_if_failed(self) -> None:
        failed = [e for e in self.database_manager.state.learners if e.state == FAILED]
        if not failed:
            return
        raise MaxRestartsReachedError(
            given_up_report(self.job_name, self.run_folder, failed, self.fnames)
        )

    def cancel(self) -> None:
        """Cancel the run and its jobs, which save first.

        Returns when the scheduler has been asked to end them. Does nothing if
        the run is not under way.

        Raises
        ------
        RunFolderLockedError
            If another process manages the run.
        """
        if self.task is None:
            self._refuse_if_managed_elsewhere()
        if self.task is None or self.task.done():
            return
        event_loop.call(self._stop, "cancelled")
        self._has_asked_scheduler.wait()

    def detach(self) -> None:
        """Stop managing, and leave the jobs as they are."""
        if self.task is None or self.task.done():
            return
        event_loop.call(self._stop, None)
        concurrent.futures.wait([self.task])

    def _stop(self, outcome: Outcome | None) -> None:
        self._outcome = outcome
        self._is_to_end.set()
        self.job_manager.stop_soon()


def _check_resources(scheduler: BaseScheduler, groups: Sequence[Hashable]) -> None:
    checked: set[Hashable] = set()
    for index, group in enumerate(groups):
        if group not in checked:
            checked.add(group)
            scheduler.check(scheduler.resources(index))
