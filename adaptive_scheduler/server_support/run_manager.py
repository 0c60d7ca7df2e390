"""Runs learners from start to finish."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.errors import RunFolderLockedError
from adaptive_scheduler.learners.dataframes import check_format
from adaptive_scheduler.learners.goals import GoalTypes
from adaptive_scheduler.learners.pack import check_picklable
from adaptive_scheduler.learners.paths import AnyFname, Project, given_name
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.server_support.database_manager import DatabaseManager
from adaptive_scheduler.server_support.job_manager import JobManager
from adaptive_scheduler.server_support.kill_manager import KillManager
from adaptive_scheduler.server_support.monitor import Monitor
from adaptive_scheduler.server_support.reattach import KnownRun, read_run, remember
from adaptive_scheduler.server_support.run_life import RunLife
from adaptive_scheduler.server_support.run_report import Outcome
from adaptive_scheduler.server_support.validation import (
    check_count,
    check_job_name,
    check_scheduler,
    checked_list,
)

if TYPE_CHECKING:
    from typing import Self

    from adaptive import BaseLearner

    from adaptive_scheduler.executors.kinds import LOKY_START_METHODS
    from adaptive_scheduler.learners.dataframes import _DATAFRAME_FORMATS
    from adaptive_scheduler.scheduler.base import BaseScheduler


class RunManager(RunLife):
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
    project
        The folder from which relative names start: the working directory when this
        object was made. Where that is later does not matter.
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
        fnames: Sequence[AnyFname],
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
        check_scheduler(scheduler)
        check_job_name(job_name)
        check_count("max_log_lines", max_log_lines)
        self.scheduler = scheduler
        self.learners = checked_list("learners", learners)
        #: Resolved where the run is picked up by its folder.
        self._fnames: list[AnyFname] = checked_list("fnames", fnames)
        self.fnames = [given_name(fname) for fname in self._fnames]
        self.goal = goal
        self.check_goal_on_start = check_goal_on_start
        self.job_name = job_name
        self.job_names = [f"{job_name}-{i}" for i in range(len(self.learners))]
        self.cleanup_first = cleanup_first
        self.dataframe_format: _DATAFRAME_FORMATS = dataframe_format
        self.quiet = quiet
        self.project = Project.here()
        self.run_folder = RunFolder.at(
            folder or f"{job_name}-run",
            logs=scheduler.log_folder or None,
            scripts=scheduler.batch_folder or None,
            old_logs=move_old_logs_to,
            journal=db_fname,
        )
        self._database_options: dict[str, Any] = {
            "dependencies": dependencies,
            "overwrite_db": overwrite_db,
            "initializers": initializers,
            "with_progress_bar": not quiet,
            "max_log_lines": max_log_lines,
        }
        self._job_options: dict[str, Any] = {
            "interval": job_manager_interval,
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
        }
        self._kill_options: dict[str, Any] = {
            "error": kill_on_error,
            "interval": kill_interval,
            **(kill_manager_kwargs or {}),
        }
        #: What who attaches to the run has to know, besides what the jobs know.
        self._remembered = remember(
            {
                "check_goal_on_start": check_goal_on_start,
                "dependencies": dependencies,
                "runner_kwargs": runner_kwargs,
                "url": url,
                "save_interval": save_interval,
                "log_interval": log_interval,
                "job_manager_interval": job_manager_interval,
                "kill_interval": kill_interval,
                "kill_on_error": kill_on_error,
                "move_old_logs_to": move_old_logs_to,
                "job_manager_kwargs": job_manager_kwargs,
                "kill_manager_kwargs": kill_manager_kwargs,
                "loky_start_method": loky_start_method,
                "save_dataframe": save_dataframe,
                "dataframe_format": dataframe_format,
                "max_log_lines": max_log_lines,
                "max_fails_per_job": max_fails_per_job,
                "max_simultaneous_jobs": max_simultaneous_jobs,
                "quiet": quiet,
            }
        )
        self.url = url
        self.start_time: float | None = None
        self.end_time: float | None = None
        self._known: KnownRun | None = None
        self._take_over = False
        self._retry_at_start = None
        self._make_managers()
        first = next(iter(initializers or []), None)
        check_picklable(self.learners[0], self.fnames[0], initializer=first)
        if save_dataframe and scheduler.python_executable == sys.executable:
            check_format(dataframe_format)  # of another Python nothing is known

    def _make_managers(self) -> None:
        pack = digest = None
        if self._known is not None:
            pack = self._known.pack
            if self.goal is self._known.settings.goal:
                digest = self._known.settings.goal_digest
        self.database_manager = DatabaseManager(
            self.url,
            self.scheduler,
            None,
            self.learners,
            self._fnames,
            run_folder=self.run_folder,
            known_pack=pack,
            project=self.project,
            **self._database_options,
        )
        self.job_manager = JobManager(
            self.job_names,
            self.database_manager,
            self.scheduler,
            goal_digest=digest,
            remembered=self._remembered,
            **self._job_options,
        )
        self.monitor = Monitor(
            self.database_manager,
            self.job_manager.settings.goal,
            lambda number: self.scheduler.resources(number).cores,
        )
        self.kill_manager: KillManager | None = None
        if self._kill_options["error"] is not None:
            self.kill_manager = KillManager(
                self.scheduler, self.database_manager, **self._kill_options
            )
        self._outcome: Outcome | None = None
        self._is_to_end = asyncio.Event()
        self._has_asked_scheduler = threading.Event()
        self._has_explained = False
        self._wait_for: RunManager | None = None

    @classmethod
    def attach(
        cls,
        folder: str | Path,
        *,
        goal: GoalTypes | EllipsisType = ...,
        take_over: bool = False,
        trust: bool = False,
    ) -> Self:
        """Pick a run up by its folder: from a fresh kernel, or another machine of the cluster.

        Everything is read from the folder: learners, file names, scheduler
        and all other arguments. The run goes on at once: living jobs are
        adopted, what they have reported meanwhile is read, and what died is
        submitted again.

        A run that another process manages is shown and not touched, and so is
        one that is over: `start` continues it. With `trust`, the run of a colleague is
        shown, too, and never touched.

        Parameters
        ----------
        folder
            The run folder.
        goal
            Another goal than the run has had; learners that were done are checked.
        take_over
            Take the run away from a manager on a host that can't be asked any
            more. Only if you know that it is dead.
        trust
            Read the folder even if another user may have written it. That runs what they
            have put there as you: only for people you trust.

        Returns
        -------
        RunManager
            The points of its learners are loaded by `load_learners`.

        Raises
        ------
        RunFolderError
            If there is no run.
        UntrustedFileError
            Without `trust`, if another user may have written what lies in the folder.
        UnpicklableError
            If a learner, or what it refers to, can't be loaded here.
        RunFolderLockedError
            With `take_over`, if the manager lives after all.
        """
        known = read_run(folder, trust=trust)
        if goal is not ...:
            known.keywords["goal"] = goal
        run = cls(known.scheduler, known.learners, known.fnames, **known.keywords)
        run._known, run.project = known, known.project
        run._make_managers()
        run._look()
        goes_on = run.database_manager.state.ended is None and run.run_folder.is_ours()
        if goal is not ... or goes_on:
            run._take_over = take_over
            try:
                run.start()
            except RunFolderLockedError:
                if take_over:
                    raise
                run._look()
        run.start_time = run.database_manager.state.totals.began
        return run

    def _look(self) -> None:
        """Show what the folder says, without managing."""
        self.database_manager.record.follow()
        self.monitor.look()
        self.end_time = self.database_manager.state.totals.ended

    def __repr__(self) -> str:
        return f"<RunManager '{self.job_name}' in '{self.run_folder.root}': {self.status()}>"
