"""Runs learners from start to finish."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import shlex
import sys
import threading
import time
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler import journal as j
from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    MaxRestartsReachedError,
    SchedulerUnavailableError,
)
from adaptive_scheduler.learners.goals import GoalTypes, smart_goal
from adaptive_scheduler.learners.pack import check_picklable
from adaptive_scheduler.learners.paths import FnameTypes, fname_to_paths
from adaptive_scheduler.learners.storage import save_parallel
from adaptive_scheduler.run_folder import RunFolder
from adaptive_scheduler.server_support.cleaning import put_logs_away
from adaptive_scheduler.server_support.database_manager import DatabaseManager
from adaptive_scheduler.server_support.event_loop import event_loop
from adaptive_scheduler.server_support.job_manager import JobManager
from adaptive_scheduler.server_support.kill_manager import KillManager
from adaptive_scheduler.server_support.live_view import watch
from adaptive_scheduler.server_support.recorder import Recorder
from adaptive_scheduler.server_support.run_report import Outcome, RunReport
from adaptive_scheduler.server_support.state import FAILED, READY
from adaptive_scheduler.server_support.validation import check_job_name

if TYPE_CHECKING:
    from typing import Self

    from adaptive import BaseLearner

    from adaptive_scheduler.learners.dataframes import _DATAFRAME_FORMATS
    from adaptive_scheduler.resources import LOKY_START_METHODS
    from adaptive_scheduler.scheduler.base import BaseScheduler

#: Exit code of a shell's command that was ended by Ctrl-C.
_EXIT_CODE_OF_INTERRUPT = 130
#: Seconds that cancelled jobs get to save, before the manager stops listening.
_GRACE = 30.0
#: Seconds for which the end of the process waits for a submission that is under way.
_PARTING = 60.0


class RunManager(RunReport):
    """Submits jobs for learners, and sees to it that every goal is reached.

    Nothing is written or submitted before `start`, and `start` continues a run
    that its folder knows: done learners stay done, living jobs go on.

    Parameters
    ----------
    scheduler
        Where the jobs run.
    learners
        The learners.
    fnames
        Where the data of each is saved; a list of them for a `BalancingLearner`.
    goal
        When a learner is done: a function of it, a number of points (int), a
        loss (float), a time (datetime) or a duration (timedelta). None stands
        for "when the sequence is done", and for never where there is none.
    check_goal_on_start
        Count learners as done that are so already in memory. Their data is
        saved if there is no file yet.
    dependencies
        For some learners (by index) those that must be done before.
    runner_kwargs, save_interval, log_interval, loky_start_method
        How jobs run their learners, see `JobManager`.
    url, initializers
        See `DatabaseManager`.
    job_name
        What the names of the jobs begin with.
    job_manager_interval
        Seconds between two looks at the queue.
    kill_interval, kill_on_error
        Seconds between two looks at the jobs' output, and what to cancel them
        for: a string, or a function of all lines. None cancels none.
    move_old_logs_to
        Where logs go at `cleanup`, relative to the run folder; None deletes them.
    db_fname
        The journal, if it is to lie outside of the run folder.
    overwrite_db
        Begin anew where the folder holds a run already. Its journal is kept
        beside the new one, and data files are never touched.
    job_manager_kwargs, kill_manager_kwargs
        Further arguments for these managers.
    cleanup_first
        Cancel the jobs of this very run folder that still live, and put their
        logs away, before anything else.
    save_dataframe, dataframe_format
        Whether jobs save data as dataframes, too, and how.
    max_log_lines
        How many lines of the output of a failed job are kept in the journal.
    max_fails_per_job, max_simultaneous_jobs
        See `JobManager`.
    quiet
        Show no progress bars.
    folder
        The run folder, ``./{job_name}-run`` by default.

    Attributes
    ----------
    scheduler, learners, fnames, job_names
        As given, and the names of all jobs.
    database_manager, job_manager, kill_manager
        Who does the work.
    start_time, end_time
        In seconds since the epoch; None before.

    Raises
    ------
    InvalidInputError
        If anything that was given can't work.
    """

    def __init__(
        self,
        scheduler: BaseScheduler,
        learners: Sequence[BaseLearner],
        fnames: Sequence[FnameTypes],
        *,
        goal: GoalTypes = None,
        check_goal_on_start: bool = True,
        dependencies: Mapping[int, Sequence[int]] | None = None,
        runner_kwargs: Mapping[str, Any] | None = None,
        url: str | None = None,
        save_interval: float = 300,
        log_interval: float = 300,
        job_name: str = "adaptive-scheduler",
        job_manager_interval: float = 60,
        kill_interval: float = 60,
        kill_on_error: str | Callable[[list[str]], bool] | None = "srun: error:",
        move_old_logs_to: str | Path | None = "old_logs",
        db_fname: str | Path | None = None,
        overwrite_db: bool = False,
        job_manager_kwargs: Mapping[str, Any] | None = None,
        kill_manager_kwargs: Mapping[str, Any] | None = None,
        loky_start_method: LOKY_START_METHODS = "loky",
        cleanup_first: bool = False,
        save_dataframe: bool = False,
        dataframe_format: _DATAFRAME_FORMATS = "pickle",
        max_log_lines: int = 500,
        max_fails_per_job: int = 50,
        max_simultaneous_jobs: int = 100,
        initializers: Sequence[Callable[[], None]] | None = None,
        quiet: bool = False,
        folder: str | Path | None = None,
    ) -> None:
        super().__init__()
        check_job_name(job_name)
        self.scheduler = scheduler
        self.learners = list(learners)
        self.fnames = list(fnames)
        self.goal = goal
        self.check_goal_on_start = check_goal_on_start
        self.job_name = job_name
        self.job_names = [f"{job_name}-{i}" for i in range(len(self.learners))]
        self.cleanup_first = cleanup_first
        self.dataframe_format: _DATAFRAME_FORMATS = dataframe_format
        self.quiet = quiet
        self.run_folder = RunFolder.at(
            folder or f"{job_name}-run",
            logs=scheduler.log_folder or None,
            scripts=scheduler.batch_folder or None,
            old_logs=move_old_logs_to,
            journal=db_fname,
        )
        self.database_manager = DatabaseManager(
            url,
            scheduler,
            None,
            self.learners,
            self.fnames,
            dependencies=dependencies,
            overwrite_db=overwrite_db,
            initializers=initializers,
            with_progress_bar=not quiet,
            run_folder=self.run_folder,
            max_log_lines=max_log_lines,
        )
        check_picklable(self.learners[0], self.fnames[0])
        self.job_manager = JobManager(
            self.job_names,
            self.database_manager,
            scheduler,
            job_manager_interval,
            **{
                "goal": goal,
                "runner_kwargs": runner_kwargs,
                "save_interval": save_interval,
                "log_interval": log_interval,
                "loky_start_method": loky_start_method,
                "save_dataframe": save_dataframe,
                "dataframe_format": dataframe_format,
                "max_fails_per_job": max_fails_per_job,
                "max_simultaneous_jobs": max_simultaneous_jobs,
                **(job_manager_kwargs or {}),
            },
        )
        self.recorder = Recorder(
            self.database_manager,
            self.job_manager.settings.goal,
            lambda number: scheduler.resources(number).cores,
        )
        self.kill_manager: KillManager | None = None
        if kill_on_error is not None:
            self.kill_manager = KillManager(
                scheduler,
                self.database_manager,
                error=kill_on_error,
                interval=kill_interval,
                **(kill_manager_kwargs or {}),
            )
        self.start_time: float | None = None
        self.end_time: float | None = None
        self._outcome: Outcome | None = None
        self._ends = asyncio.Event()
        self._has_asked_scheduler = threading.Event()
        self._has_explained = False
        self._wait_for: RunManager | None = None

    def __repr__(self) -> str:
        return f"<RunManager '{self.job_name}' in '{self.run_folder.root}': {self.status()}>"

    # Starting and ending.

    def start(self, wait_for: RunManager | None = None) -> Self:
        """Start the run, or go on with it where its folder says it was.

        Parameters
        ----------
        wait_for
            Another run that must be over before.

        Raises
        ------
        AdaptiveSchedulerError
            If it was started before.
        RunFolderError
            If the folder can't be used, or another manager holds it.
        UnpicklableError
            If a learner can't travel to a job.
        InvalidInputError
            If no job can get what the scheduler is to ask for.
        """
        self._wait_for = wait_for
        self.start_time = time.time()
        try:
            return super().start()
        except BaseException:
            self.start_time = None
            raise

    def _setup(self) -> None:
        if self._wait_for is None:
            self._start_managers()

    def _start_managers(self) -> None:
        _check_resources(self.scheduler, self.database_manager.groups)
        event_loop.take_over(self.run_folder.root, self)
        try:
            self.database_manager.start()
            if self.cleanup_first:
                self._cancel_leftovers()
            if self.check_goal_on_start:
                event_loop.call(self._note_done, self._already_done())
            self.job_manager.start()
            event_loop.call(self._listen)
        except BaseException:
            self.database_manager.cancel()
            event_loop.give_up(self.run_folder.root, self)
            raise
        self.recorder.start()
        if self.kill_manager is not None:
            self.kill_manager.start()

    def _listen(self) -> None:
        self.database_manager.listen(on_cancel=lambda: self._stop("cancelled"))

    def _already_done(self) -> list[int]:
        """Return the learners that are done in memory; their data is on disk then, too."""
        with_data = [i for i, learner in enumerate(self.learners) if learner.npoints > 0]
        if not with_data:
            return []
        goal = smart_goal(self.goal, self.learners)
        done = [i for i in with_data if goal(self.learners[i])]
        unsaved = [i for i in done if not any(p.exists() for p in fname_to_paths(self.fnames[i]))]
        save_parallel(
            [self.learners[i] for i in unsaved],
            [self.fnames[i] for i in unsaved],
            with_progress_bar=not self.quiet,
        )
        return done

    def _note_done(self, indices: Sequence[int]) -> None:
        for index in indices:
            if self.database_manager.state.learners[index].state == READY:
                npoints = self.learners[index].npoints
                self.database_manager.record(
                    j.Done(time=time.time(), learner=index, npoints=npoints)
                )

    def _cancel_leftovers(self) -> None:
        """Cancel the jobs that the journal of this folder knows, and put their logs away."""
        living = event_loop.call(lambda: list(self.database_manager.state.jobs))
        if living:
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
            if self.database_manager.state.is_complete:
                self._raise_if_failed()
                self._outcome = "finished"
            elif self._outcome == "cancelled":
                await self._cancel_jobs()
        except MaxRestartsReachedError:
            self._outcome = "failed"
            raise
        except Exception:
            self._outcome = "failed"
            await self._cancel_jobs()
            raise
        finally:
            self.end_time = time.time()
            await self._close()

    async def _wait_for_turn(self, other: RunManager) -> None:
        """Wait until another run is over, or this one is to end before it has begun."""
        waiting = [asyncio.ensure_future(other.ended()), asyncio.ensure_future(self._ends.wait())]
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
            living = list(database.state.jobs)
            if database.state.submissions:  # their ids are not known, but their tokens are
                queue = await asyncio.to_thread(self.scheduler.queue)
                tokens = database.state.submissions.keys()
                living += [i for i, job in queue.items() if job["token"] in tokens]
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
            self.database_manager.record(j.RunEnded(time=time.time(), status=self._outcome))
        await self.recorder.stop()
        await self.database_manager.stop()
        event_loop.give_up(self.run_folder.root, self)
        self._has_asked_scheduler.set()

    def _raise_if_failed(self) -> None:
        failed = [e for e in self.database_manager.state.learners if e.state == FAILED]
        if not failed:
            return
        worst = max(failed, key=lambda entry: entry.fails)
        others = f" ({len(failed)} learners were)" if len(failed) > 1 else ""
        raise MaxRestartsReachedError(
            f"Learner {worst.index} ('{self.fnames[worst.index]}') of run '{self.job_name}' was "
            f"given up after {worst.fails} failures{others}: {worst.error}\n"
            f"{worst.traceback.rstrip()}\n"
            f"Log: {worst.log_fname}. The data of all learners is saved: mend the cause, and start "
            "the run again to go on with it."
        )

    def cancel(self) -> None:
        """Cancel the run and its jobs, which save first.

        Returns when the scheduler has been asked to end them.
        """
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
        self._ends.set()
        self.job_manager.stop_soon()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the run is over, and show meanwhile how it does.

        On Ctrl-C the jobs go on.

        Parameters
        ----------
        timeout
            Seconds after which to stop waiting.

        Raises
        ------
        RunFailedError
            If learners were given up, with the traceback of one of them.
        SchedulerError
            If the scheduler refused the jobs.
        TimeoutError
            If the run isn't over after `timeout` seconds.
        AdaptiveSchedulerError
            If the run was not started.
        """
        task = self._started_task()
        try:
            if self.quiet:
                concurrent.futures.wait([task], timeout)
            else:
                watch(self._info, lambda s: bool(concurrent.futures.wait([task], s).done), timeout)
        except KeyboardInterrupt:
            self._explain("Interrupted")
            if is_interactive():
                raise
            raise SystemExit(_EXIT_CODE_OF_INTERRUPT) from None
        if not task.done():
            raise TimeoutError(f"Run '{self.job_name}' is not over after {timeout} s.")
        task.result()

    def __await__(self) -> Generator[Any, None, None]:
        task = self._started_task()

        async def wait() -> None:
            # Interrupting the cell that awaits must not cancel the run.
            await asyncio.shield(asyncio.wrap_future(task))

        return wait().__await__()

    async def leave(self) -> None:
        """Submit what is still to be submitted, and say what becomes of the jobs.

        Called on the event loop when this process ends.
        """
        if self.task is None:
            return
        event = "The script ends"
        try:
            await asyncio.wait_for(self._settled(), _PARTING)
        except TimeoutError:
            event = "The script ends, though the scheduler does not answer"
        except AdaptiveSchedulerError as error:
            print(f"Run '{self.job_name}' has failed: {error}", file=sys.stderr)  # noqa: T201
        if not self.task.done():
            self._explain(event)
            await self.database_manager.flushed()

    async def _settled(self) -> None:
        """Wait until the jobs can be left to themselves, or all is over."""
        if await self.job_manager.settled():
            await self.over()

    def _explain(self, event: str) -> None:
        """Say, once, how to come back to the jobs."""
        if not self._has_explained:
            self._has_explained = True
            folder = shlex.quote(str(self.run_folder.root))
            print(  # noqa: T201  this is what it is for
                f"{event}; the jobs of run '{self.job_name}' go on. Start the same program again "
                f"to come back, or cancel them with: adaptive-scheduler cancel {folder}",
                file=sys.stderr,
            )

    def _started_task(self) -> concurrent.futures.Future[None]:
        if self.task is None:
            raise AdaptiveSchedulerError(
                f"Run '{self.job_name}' has not been started: call `start()` first."
            )
        return self.task


def is_interactive() -> bool:
    """Whether a person types commands at this process, in a notebook or a shell."""
    return hasattr(sys, "ps1") or "ipykernel" in sys.modules


def _check_resources(scheduler: BaseScheduler, groups: Sequence[Hashable]) -> None:
    checked: set[Hashable] = set()
    for index, group in enumerate(groups):
        if group not in checked:
            checked.add(group)
            scheduler.check(scheduler.resources(index))
