"""Runs learners from start to finish."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Final, Unpack

from adaptive_scheduler._common.faces import Face
from adaptive_scheduler.errors import RunFolderLockedError
from adaptive_scheduler.learners.dataframes import check_format
from adaptive_scheduler.learners.goals import GoalTypes
from adaptive_scheduler.learners.pack import Pack, check_picklable
from adaptive_scheduler.learners.pack_file import open_pack
from adaptive_scheduler.learners.paths import AnyFname, given_name
from adaptive_scheduler.run_folder.functions import Functions
from adaptive_scheduler.run_folder.options import RunOptions
from adaptive_scheduler.run_folder.spec import NO_KEYWORDS, RunSpec
from adaptive_scheduler.server_support.database_manager import DatabaseManager
from adaptive_scheduler.server_support.job_manager import JOB_FACE, JobManager
from adaptive_scheduler.server_support.kill_manager import KILL_FACE, KillManager
from adaptive_scheduler.server_support.monitor import Monitor
from adaptive_scheduler.server_support.run_life import RunLife
from adaptive_scheduler.server_support.run_report import Outcome
from adaptive_scheduler.server_support.validation import check_scheduler, checked_list

if TYPE_CHECKING:
    from typing import Self

    from adaptive import BaseLearner

    from adaptive_scheduler.scheduler.base import BaseScheduler


_FACE: Final = Face("RunManager", RunSpec, hidden=NO_KEYWORDS)


@_FACE
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
    **options
        See `RunSpec`.

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
    TypeError
        If there is no such keyword.
    InvalidInputError
        If anything that was given can't work.
    """

    def __init__(
        self,
        scheduler: BaseScheduler,
        learners: Sequence[BaseLearner],
        fnames: Sequence[AnyFname],
        **options: Unpack[RunOptions],
    ) -> None:
        said = _FACE.read(options)
        check_scheduler(scheduler)
        learners, fnames = checked_list("learners", learners), checked_list("fnames", fnames)
        said |= JOB_FACE.translate(said.pop("job_manager_kwargs", None) or {})
        said |= KILL_FACE.translate(said.pop("kill_manager_kwargs", None) or {})
        spec = RunSpec.of(scheduler, learners, said)
        self._begin(spec, scheduler, learners, fnames)
        self.goal = said.get("goal")
        first = next(iter(spec.initializers or []), None)
        check_picklable(self.learners[0], self.fnames[0], initializer=first)
        if spec.save_dataframe and scheduler.python_executable == sys.executable:
            check_format(spec.dataframe_format)  # of another Python nothing is known

    def _begin(
        self,
        spec: RunSpec,
        scheduler: BaseScheduler,
        learners: list[BaseLearner],
        fnames: Sequence[AnyFname],
        *,
        has_pack: bool = False,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.scheduler = scheduler
        self.learners = learners
        self._fnames = fnames
        self.fnames = [given_name(fname) for fname in fnames]
        self.goal = spec.goal
        self.job_name = spec.job_name
        self.job_names = spec.job_names
        self.dataframe_format = spec.dataframe_format
        self.quiet = spec.quiet
        self.project = spec.project
        self.run_folder = spec.run_folder
        self.start_time: float | None = None
        self.end_time: float | None = None
        self._has_pack = has_pack
        self._take_over = False
        self._retry_at_start = None
        self._make_managers()

    def _make_managers(self) -> None:
        spec = self.spec
        self.database_manager = DatabaseManager(
            spec.url,
            self.scheduler,
            None,
            self.learners,
            self._fnames,
            dependencies=spec.dependencies,
            overwrite_db=spec.overwrite_db,
            initializers=spec.initializers,
            with_progress_bar=not spec.quiet,
            run_folder=spec.run_folder,
            max_log_lines=spec.max_log_lines,
            has_pack=self._has_pack,
            project=spec.project,
        )
        self.job_manager = JobManager(
            self.job_names, self.database_manager, self.scheduler, spec=spec
        )
        self.monitor = Monitor(
            self.database_manager,
            spec.goal_function,
            lambda number: self.scheduler.resources(number).cores,
        )
        self.kill_manager: KillManager | None = None
        if spec.kill_on_error is not None:
            self.kill_manager = KillManager(
                self.scheduler, self.database_manager, **KILL_FACE.show(spec)
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
        run = cls.__new__(cls)
        cls._pick_up(run, folder, goal, take_over=take_over, trust=trust)
        return run

    def _pick_up(
        self,
        folder: str | Path,
        goal: GoalTypes | EllipsisType,
        *,
        take_over: bool,
        trust: bool,
    ) -> None:
        spec = RunSpec.read(folder, trust=trust)
        with open_pack(spec.run_folder.pack, trust=trust) as file:
            pack = Pack(spec.run_folder.pack, file=file)
            pack.extend_sys_path()  # goal and scheduler, too, may refer to the user's modules
            learners = [pack.read(index).learner for index in range(len(pack))]
            fnames = pack.fnames
        functions = Functions.read(spec.run_folder.functions, trust=trust)
        spec = functions.complete(spec)
        if goal is not ...:
            spec = spec.with_goal(goal, learners)
        scheduler = functions.scheduler
        scheduler.log_folder = scheduler.log_folder and str(spec.run_folder.logs)
        scheduler.batch_folder = scheduler.batch_folder and str(spec.run_folder.scripts)
        self._begin(spec, scheduler, learners, spec.project.resolve_all(fnames), has_pack=True)
        self._look()
        goes_on = self.database_manager.state.ended is None and self.run_folder.is_ours()
        if goal is not ... or goes_on:
            self._take_over = take_over
            try:
                self.start()
            except RunFolderLockedError:
                if take_over:
                    raise
                self._look()
        self.start_time = self.database_manager.state.totals.began

    def _look(self) -> None:
        """Show what the folder says, without managing."""
        self.database_manager.record.follow()
        self.monitor.look()
        self.end_time = self.database_manager.state.totals.ended

    def __repr__(self) -> str:
        return f"<RunManager '{self.job_name}' in '{self.run_folder.root}': {self.status()}>"
