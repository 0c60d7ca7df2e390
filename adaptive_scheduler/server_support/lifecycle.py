"""The life of a run: how it starts, goes on, and ends."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import shlex
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    MaxRestartsReachedError,
    RunFolderError,
    RunFolderLockedError,
    SchedulerUnavailableError,
)
from adaptive_scheduler.learners.pack import Pack
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.models import DONE, FAILED, READY
from adaptive_scheduler.run_folder.project import Standing
from adaptive_scheduler.run_folder.spec import RunSpec
from adaptive_scheduler.server_support.cleaning import put_logs_away
from adaptive_scheduler.server_support.crash_report import given_up_report
from adaptive_scheduler.server_support.event_loop import event_loop
from adaptive_scheduler.server_support.goal_check import done_in_memory, not_done_on_disk
from adaptive_scheduler.server_support.managers import Managers
from adaptive_scheduler.server_support.ownership import jobs_to_end, known_as_ours, owned
from adaptive_scheduler.server_support.waiting import DetachNotice

if TYPE_CHECKING:
    from adaptive import BaseLearner

    from adaptive_scheduler.learners.goals import GoalTypes
    from adaptive_scheduler.learners.paths import AnyFname
    from adaptive_scheduler.protocol import messages
    from adaptive_scheduler.scheduler.base import BaseScheduler

#: Seconds that cancelled jobs get to save, before the manager stops listening.
_GRACE: Final = 30.0
#: Seconds for which the end of the process waits for a submission that is under way.
_PARTING: Final = 60.0
#: Seconds for which it waits for the disk.
_LAST_FLUSH: Final = 10.0

#: How a run can end.
Outcome: TypeAlias = Literal["finished", "cancelled", "failed"]
#: The state of a run, in a word.
Status: TypeAlias = Literal["not yet started", "running", "unmanaged"] | Outcome


class Lifecycle:
    """Starts a run, manages it in a task on the event loop, and ends it.

    A run that is over may be started again, with managers of its own.

    Parameters
    ----------
    spec
        What the run is.
    scheduler
        Where the jobs run.
    learners, fnames
        The learners, and where the data of each is saved.
    goal
        When a learner that is in memory counts as done at the start.
    has_pack
        Whether the learners lie in the run folder already.

    Attributes
    ----------
    name
        The name of the run.
    spec
        What the run is; one that continues once it has been started.
    managers
        Who does the work, from this start to the next.
    task
        The future of the task; None before `start`.
    start_time, end_time
        In seconds since the epoch; None before.
    detach_notice
        What is said when this process leaves the jobs to themselves.

    Raises
    ------
    InvalidInputError
        If anything that was given can't work.
    """

    def __init__(
        self,
        spec: RunSpec,
        scheduler: BaseScheduler,
        learners: Sequence[BaseLearner],
        fnames: Sequence[AnyFname],
        *,
        goal: GoalTypes = None,
        has_pack: bool = False,
    ) -> None:
        self.name = spec.job_name
        self.task: concurrent.futures.Future[None] | None = None
        self.start_time: float | None = None
        self.end_time: float | None = None
        self._scheduler = scheduler
        self._learners = learners
        self._fnames = fnames
        self._goal = goal
        self._has_pack = has_pack
        self._folder = spec.run_folder
        self._answer_command: Callable[[messages.CommandRequest], messages.CommandResult] | None = (
            None
        )
        self._prepare(spec)

    def __repr__(self) -> str:
        return f"<Lifecycle of '{self.name}' in '{self._folder.root}': {self.status()}>"

    def _prepare(self, spec: RunSpec) -> None:
        """Make everything that lasts from one start to its end."""
        self.spec = spec
        self.managers = Managers.of(
            spec, self._scheduler, self._learners, self._fnames, has_pack=self._has_pack
        )
        self.detach_notice = DetachNotice(self.name, self._folder.root)
        self._outcome: Outcome | None = None
        self._is_to_end = asyncio.Event()
        self._has_asked_scheduler = threading.Event()

    def answer_commands_by(
        self, answer: Callable[[messages.CommandRequest], messages.CommandResult]
    ) -> None:
        """Have the commands of other processes answered, on the event loop, from `start` on."""
        self._answer_command = answer

    # The state.

    @property
    def is_under_way(self) -> bool:
        """Whether the run has been started in this process, and is not over."""
        return self.task is not None and not self.task.done()

    def status(self) -> Status:
        """Return the state of the run, in a word."""
        if self.task is None:
            is_following = self.managers.database.record.is_following
            return self._status_elsewhere() if is_following else "not yet started"
        if not self.task.done():
            return self._outcome or "running"
        return "failed" if self.task.exception() is not None else self._outcome or "cancelled"

    def _status_elsewhere(self) -> Status:
        """Return the state of a run that is only looked at from here."""
        database = self.managers.database
        database.record.refresh()
        if database.state.ended is not None:
            return cast("Outcome", database.state.ended)
        return "unmanaged" if database.other_holder() is None else "running"

    def elapsed_time(self) -> float:
        """Return the seconds from the start to the end, or until now."""
        return 0.0 if self.start_time is None else (self.end_time or time.time()) - self.start_time

    def look(self) -> None:
        """Show what the folder says, without managing. Blocks."""
        self.managers.database.record.follow()
        self.managers.monitor.look()
        totals = self.managers.database.state.totals
        self.start_time, self.end_time = totals.began, totals.ended

    def started_task(self) -> concurrent.futures.Future[None]:
        """Return the task.

        Raises
        ------
        AdaptiveSchedulerError
            If the run was not started.
        RunFolderLockedError
            If another process manages it.
        """
        if self.task is None:
            self._refuse_if_managed_elsewhere()
            raise AdaptiveSchedulerError(
                f"Run '{self.name}' has not been started: call `start()` first."
            )
        return self.task

    def check_managing(self) -> None:
        """Check that this process manages the run now: call it on the event loop.

        Raises
        ------
        AdaptiveSchedulerError
            If it does not.
        """
        if self.is_under_way and self.managers.database.task is not None:
            if self.managers.jobs.has_ended:
                raise AdaptiveSchedulerError(f"Run '{self.name}' is over: start it again first.")
            return
        self._refuse_if_managed_elsewhere()
        if self.is_under_way:
            raise AdaptiveSchedulerError(f"Run '{self.name}' waits for another run to end.")
        raise AdaptiveSchedulerError(
            f"Run '{self.name}' is not under way ({self.status()}): call `start()` first."
        )

    def _refuse_if_managed_elsewhere(self) -> None:
        if holder := self.managers.database.other_holder():
            raise RunFolderLockedError(
                f"The run in '{self._folder.root}' is managed by {holder}: do it there. "
                "From here, `adaptive-scheduler pause`, `resume`, `retry` and `cancel` with "
                f"{shlex.quote(str(self._folder.root))} ask that manager to do it."
            )

    # The start.

    def start(
        self,
        *,
        turn: Callable[[], Awaitable[None]] | None = None,
        retry: Collection[int] | None = None,
        take_over: bool = False,
    ) -> None:
        """Start the run, or go on with it where its folder says it was.

        Parameters
        ----------
        turn
            Waits, on the event loop, until the run may begin; None begins it at once.
        retry
            Learners that get new tries, by index; None for all that have failed.
        take_over
            Whether a manager on a host that can't be asked counts as dead.

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
        if self.is_under_way:
            raise AdaptiveSchedulerError(f"Run '{self.name}' has been started before.")
        if self.task is not None:
            self._prepare(self.spec.continued())
            self.task = None
        before = self.start_time, self.end_time
        self.start_time, self.end_time = time.time(), None
        try:
            if turn is None:
                self._begin(retry, take_over=take_over)
                self.task = event_loop.submit(self._manage())
            else:
                begin = lambda: self._begin(retry, take_over=take_over)  # noqa: E731  in a thread
                self.task = event_loop.submit(self._manage_after(turn, begin))
        except BaseException:  # Ctrl-C as well: the run has not begun
            self.start_time, self.end_time = before
            raise

    def attach(self, *, is_wanted: bool, take_over: bool) -> None:
        """Show the run that the folder holds, and go on with it if nobody else manages it.

        Parameters
        ----------
        is_wanted
            Whether to go on with a run that is over, a copy, or another user's, too.
        take_over
            As for `start`.

        Raises
        ------
        RunFolderLockedError
            With `take_over`, if the manager lives after all.
        """
        self.look()
        state = self.managers.database.state
        is_over = state.ended is not None or self.spec.standing is Standing.COPIED
        if is_wanted or (not is_over and self._folder.is_ours()):
            try:
                self.start(take_over=take_over)
            except RunFolderLockedError:
                if take_over:
                    raise
                self.look()
            else:
                self.start_time = state.totals.began

    def _begin(self, retry: Collection[int] | None, *, take_over: bool) -> None:
        """Lock, restore, pack, serve, mark what is done, submit. Blocks; undone if it fails."""
        managers = self.managers
        _check_resources(self._scheduler, managers.database.groups)
        managers.database.check_record()  # a mistake here must stop no run that goes on
        event_loop.take_over(self._folder.root, self)
        try:
            is_moved = self.spec.standing is Standing.MOVED
            managers.database.start(retry=retry, take_over=take_over, is_moved=is_moved)
            if managers.database.standing is Standing.MOVED:
                self._cancel_waiting()
            if self.spec.cleanup_first:
                self._cancel_leftovers()
            self._mark_not_done()  # by the spec of the last time, which `jobs.start` replaces
            if self.spec.check_goal_on_start:
                self._mark_done()
            managers.jobs.start()
            event_loop.call(self._listen)
        except BaseException:  # Ctrl-C as well: the run is held by nobody then
            managers.database.cancel()
            event_loop.give_up(self._folder.root, self)
            raise
        managers.monitor.start()
        if managers.kill is not None:
            managers.kill.start()

    def _cancel_waiting(self) -> None:
        """Cancel the jobs in the queue that would start where the run was before it was moved.

        Those that run see by themselves that their place is gone, and end.
        """
        state = self.managers.database.state
        if event_loop.call(lambda: bool(state.jobs or state.submissions)):
            ours = event_loop.call(owned, state, self._scheduler.queue())
            if waiting := [job_id for job_id, seen in ours.items() if not seen["running"]]:
                self._scheduler.cancel_ids(waiting)

    def _cancel_leftovers(self) -> None:
        """Cancel the jobs that the journal of this folder knows, and put their logs away."""
        database = self.managers.database
        if event_loop.call(lambda: bool(database.state.jobs or database.state.submissions)):
            queue = self._scheduler.queue()
            if living := event_loop.call(jobs_to_end, database.state, queue):
                self._scheduler.cancel_ids(living)
            database.update()
        put_logs_away(self._folder, self.name, self._scheduler.ext)

    def _mark_not_done(self) -> None:
        """Reopen the learners that are done by the goal of the last time, and not by this one."""
        database = self.managers.database
        done = event_loop.call(
            lambda: [e.index for e in database.state.learners if e.state == DONE]
        )
        if not done:
            return
        with contextlib.suppress(RunFolderError):  # there is no spec of an earlier time
            if RunSpec.read(self._folder.root).goal_digest == self.spec.goal_digest:
                return
        reopened = list(
            not_done_on_disk(
                Pack(self._folder.pack), database.resolved, self.spec.goal_function, done
            )
        )

        def note() -> None:
            for index in reopened:
                database.record.append(events.Reopened(time=time.time(), learner=index))

        event_loop.call(note)

    def _mark_done(self) -> None:
        """Mark the learners as done that have reached the goal in memory."""
        database = self.managers.database
        done = done_in_memory(
            self._learners, database.resolved, self._goal, with_progress_bar=not self.spec.quiet
        )

        def note() -> None:
            for index in done:
                if database.state.learners[index].state == READY:
                    npoints = self._learners[index].npoints
                    database.record.append(
                        events.Done(time=time.time(), learner=index, npoints=npoints)
                    )

        event_loop.call(note)

    def _listen(self) -> None:
        self.managers.database.listeners.add(
            on_cancel=lambda: self._stop("cancelled"), on_command=self._answer_command
        )

    # The task.

    async def _manage_after(
        self, turn: Callable[[], Awaitable[None]], begin: Callable[[], None]
    ) -> None:
        """Begin when it is the run's turn, unless it is to end before."""
        try:
            await self._wait_for(turn)
            if not self._is_to_end.is_set():
                await asyncio.to_thread(begin)
                await self._manage()
        finally:
            self.end_time = self.end_time or time.time()
            self._has_asked_scheduler.set()

    async def _wait_for(self, turn: Callable[[], Awaitable[None]]) -> None:
        waiting = [asyncio.ensure_future(end) for end in (turn(), self._is_to_end.wait())]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for future in waiting:
            future.cancel()

    async def _manage(self) -> None:
        """Manage until all learners are done or given up, or somebody ends the run."""
        learners = self.managers.database.state.learners
        try:
            await self.managers.jobs.over()
            if learners.is_complete:
                self._raise_if_failed()
                self._outcome = "finished"
            elif self._outcome == "cancelled":
                await self._cancel_jobs()
        except MaxRestartsReachedError:
            self._outcome = "failed"
            if not learners.is_complete:  # jobs end before they begin
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

    def _raise_if_failed(self) -> None:
        database = self.managers.database
        if failed := [e for e in database.state.learners if e.state == FAILED]:
            raise MaxRestartsReachedError(
                given_up_report(self.name, self._folder, failed, database.fnames)
            )

    async def _cancel_jobs(self) -> None:
        """Cancel all jobs of this run, and give them time to save."""
        database, state = self.managers.database, self.managers.database.state
        database.handler.stop()
        try:
            living = known_as_ours(state, state.jobs, database.reconciler.queue)
            if state.submissions or len(living) < len(state.jobs):
                queue = await asyncio.to_thread(self._scheduler.queue)
                living = jobs_to_end(state, queue)
            if living:
                await asyncio.to_thread(self._scheduler.cancel_ids, living)
        finally:
            self._has_asked_scheduler.set()
        deadline = time.time() + _GRACE
        while state.jobs and time.time() < deadline:
            await asyncio.sleep(min(self._scheduler.min_poll_interval, 1.0))
            with contextlib.suppress(SchedulerUnavailableError):
                await asyncio.to_thread(database.update)

    async def _close(self) -> None:
        managers = self.managers
        if managers.kill is not None:
            managers.kill.cancel()
        if self._outcome is not None:
            managers.database.record.append(events.RunEnded(time=time.time(), status=self._outcome))
        await managers.monitor.stop()
        await managers.database.stop()
        event_loop.give_up(self._folder.root, self)
        self._has_asked_scheduler.set()

    # The end.

    def cancel(self) -> None:
        """End the run and its jobs; returns when the scheduler has been asked to end them.

        Raises
        ------
        RunFolderLockedError
            If another process manages the run.
        """
        if self.task is None:
            self._refuse_if_managed_elsewhere()
        elif not self.task.done():
            event_loop.call(self._stop, "cancelled")
            self._has_asked_scheduler.wait()

    def detach(self) -> None:
        """Stop managing, and leave the jobs as they are."""
        if self.task is not None and not self.task.done():
            event_loop.call(self._stop, None)
            concurrent.futures.wait([self.task])

    def _stop(self, outcome: Outcome | None) -> None:
        self._outcome = outcome
        self._is_to_end.set()
        self.managers.jobs.stop_soon()

    async def ended(self) -> None:
        """Wait, on the event loop, until the run is over, however it ended."""
        if self.task is not None:
            await asyncio.wait([asyncio.wrap_future(self.task)])

    async def leave(self) -> None:
        """Submit what is still to be submitted, and say what becomes of the jobs.

        Called on the event loop when this process ends.
        """
        if self.task is None:
            return
        event = "The script ends"
        try:
            await asyncio.wait_for(self._settled(self.task), _PARTING)
        except TimeoutError:
            event = "The script ends, though the scheduler does not answer"
        except AdaptiveSchedulerError as error:
            print(f"Run '{self.name}' has failed: {error}", file=sys.stderr)  # noqa: T201  nobody else tells
        if not self.task.done():
            self.detach_notice.say(event)
            await self.managers.database.flushed(_LAST_FLUSH)

    async def _settled(self, task: concurrent.futures.Future[None]) -> None:
        """Wait until the jobs can be left to themselves, or all is over."""
        if await self.managers.jobs.settled():
            await asyncio.shield(asyncio.wrap_future(task))


def _check_resources(scheduler: BaseScheduler, groups: Sequence[Hashable]) -> None:
    checked: set[Hashable] = set()
    for index, group in enumerate(groups):
        if group not in checked:
            checked.add(group)
            scheduler.check(scheduler.resources(index))
