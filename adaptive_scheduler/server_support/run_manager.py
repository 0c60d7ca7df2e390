"""The face of a run: what users call."""

from __future__ import annotations

import concurrent.futures
import sys
from collections.abc import Collection, Generator, Iterable, Sequence
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Final, Literal, Unpack, overload

from adaptive_scheduler._common.scratch import remove_all_scratch
from adaptive_scheduler._common.signatures import Face
from adaptive_scheduler.errors import AdaptiveSchedulerError, InvalidInputError
from adaptive_scheduler.learners.dataframes import check_format
from adaptive_scheduler.learners.goals import GoalTypes
from adaptive_scheduler.learners.pack import check_picklable
from adaptive_scheduler.learners.paths import AnyFname, ResolvedFname, given_name
from adaptive_scheduler.run_folder.options import RunOptions
from adaptive_scheduler.run_folder.project import Standing
from adaptive_scheduler.run_folder.spec import NO_KEYWORDS, RunSpec
from adaptive_scheduler.server_support.base_manager import BaseManager, task_in_words
from adaptive_scheduler.server_support.cleaning import put_logs_away, remove_old_logs
from adaptive_scheduler.server_support.event_loop import event_loop
from adaptive_scheduler.server_support.identity import check_own_files
from adaptive_scheduler.server_support.info import RunInfo, as_text
from adaptive_scheduler.server_support.job_manager import JOB_FACE
from adaptive_scheduler.server_support.kill_manager import KILL_FACE
from adaptive_scheduler.server_support.lifecycle import Lifecycle
from adaptive_scheduler.server_support.live_view import LiveView
from adaptive_scheduler.server_support.logs import parse_log_files
from adaptive_scheduler.server_support.reattach import DeclaredRun, read_declared_run
from adaptive_scheduler.server_support.restore import keep_aside
from adaptive_scheduler.server_support.saved_data import SavedData
from adaptive_scheduler.server_support.steering import Steering
from adaptive_scheduler.server_support.validation import check_scheduler, checked_list
from adaptive_scheduler.server_support.waiting import end_of, wait_for_end

if TYPE_CHECKING:
    from typing import Self

    import pandas as pd
    from adaptive import BaseLearner

    from adaptive_scheduler.scheduler.base import BaseScheduler
    from adaptive_scheduler.server_support.database_manager import DatabaseManager
    from adaptive_scheduler.server_support.job_manager import JobManager
    from adaptive_scheduler.server_support.kill_manager import KillManager
    from adaptive_scheduler.server_support.lifecycle import Status
    from adaptive_scheduler.server_support.monitor import Monitor
    from adaptive_scheduler.server_support.view import RunView
    from adaptive_scheduler.widgets.dashboard import Dashboard


_FACE: Final = Face("RunManager", RunSpec, hidden=NO_KEYWORDS)


@_FACE
class RunManager:
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
        goal: GoalTypes = said.get("goal")
        self._compose(spec, scheduler, learners, fnames, goal=goal)
        first = next(iter(spec.initializers or []), None)
        check_picklable(self.learners[0], self.fnames[0], initializer=first)
        if spec.save_dataframe and scheduler.python_executable == sys.executable:
            check_format(spec.dataframe_format)  # of another Python nothing is known

    def _compose(
        self,
        spec: RunSpec,
        scheduler: BaseScheduler,
        learners: list[BaseLearner],
        fnames: Sequence[AnyFname],
        *,
        goal: GoalTypes,
        has_pack: bool = False,
    ) -> None:
        self.goal = goal
        self.scheduler = scheduler
        self.learners = learners
        self.fnames = [given_name(fname) for fname in fnames]
        self.job_name = spec.job_name
        self.job_names = spec.job_names
        self.dataframe_format = spec.dataframe_format
        self.quiet = spec.quiet
        self.project = spec.project
        self.run_folder = spec.run_folder
        self._lifecycle = Lifecycle(spec, scheduler, learners, fnames, goal=goal, has_pack=has_pack)
        self._steering = Steering(self._lifecycle)
        self._saved = SavedData(spec.run_folder, spec.project, self.database_manager.resolved)

    @classmethod
    def attach(
        cls,
        folder: str | Path,
        *,
        goal: GoalTypes | EllipsisType = ...,
        take_over: bool = False,
        trust: bool = False,
        moved: bool = False,
    ) -> Self:
        """Pick a run up by its folder: from a fresh kernel, or another machine of the cluster.

        Everything is read from the folder: learners, file names, scheduler
        and all other arguments. The run goes on at once: living jobs are
        adopted, what they have reported meanwhile is read, and what died is
        submitted again.

        A run that another process manages is shown and not touched, and so is
        one that is over: `start` continues it. With `trust`, the run of a colleague is
        shown, too, and never touched.

        A run whose project was moved goes on where it is now. A copy of a run is only
        shown: `start` gives it an id of its own, and leaves the jobs to the original.

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
        moved
            Go on with a run that was moved from a place that can't be looked at from
            here. Only if you know that it is not a copy.

        Returns
        -------
        RunManager
            The points of its learners are loaded by `load_learners`.

        Raises
        ------
        RunFolderError
            If there is no run; without `moved`, if nobody can know whether it was moved or copied.
        UntrustedFileError
            Without `trust`, if another user may have written what lies in the folder.
        UnpicklableError
            If a learner, or what it refers to, can't be loaded here.
        RunFolderLockedError
            With `take_over`, if the manager lives after all.
        """
        declared = read_declared_run(folder, goal, trust=trust, is_moved=moved)
        run = cls.__new__(cls)
        cls._pick_up(run, declared, is_wanted=goal is not ..., take_over=take_over)
        return run

    def _pick_up(self, declared: DeclaredRun, *, is_wanted: bool, take_over: bool) -> None:
        self._compose(
            declared.spec,
            declared.scheduler,
            declared.learners,
            declared.fnames,
            goal=declared.spec.goal,
            has_pack=declared.has_pack,
        )
        self._lifecycle.attach(is_wanted=is_wanted, take_over=take_over)

    def __repr__(self) -> str:
        return f"<RunManager '{self.job_name}' in '{self.run_folder.root}': {self.status()}>"

    # Who does the work.

    @property
    def spec(self) -> RunSpec:
        """The parameters of the run."""
        return self._lifecycle.spec

    @property
    def database_manager(self) -> DatabaseManager:
        """Gives learners to jobs, and keeps the record; another one after each start anew."""
        return self._lifecycle.managers.database

    @property
    def job_manager(self) -> JobManager:
        """Submits jobs; another one after each start anew."""
        return self._lifecycle.managers.jobs

    @property
    def kill_manager(self) -> KillManager | None:
        """Cancels lost jobs, unless ``kill_on_error=None``; another one after each start anew."""
        return self._lifecycle.managers.kill

    @property
    def monitor(self) -> Monitor:
        """Counts what jobs report; another one after each start anew."""
        return self._lifecycle.managers.monitor

    # Start and end.

    @property
    def task(self) -> concurrent.futures.Future[None] | None:
        """The future of the task that manages the run; None before `start`."""
        return self._lifecycle.task

    @property
    def is_started(self) -> bool:
        """Whether `start` has been called."""
        return self.task is not None

    @property
    def start_time(self) -> float | None:
        """When the run was started, in seconds since the epoch; None before."""
        return self._lifecycle.start_time

    @property
    def end_time(self) -> float | None:
        """When the run ended, in seconds since the epoch; None before."""
        return self._lifecycle.end_time

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
        self._lifecycle.start(turn=None if wait_for is None else wait_for.ended)
        return self

    def cancel(self) -> None:
        """Cancel the run and its jobs, which save first.

        Returns when the scheduler has been asked to end them. Does nothing if
        the run is not under way.

        Raises
        ------
        RunFolderLockedError
            If another process manages the run.
        """
        self._lifecycle.cancel()

    def detach(self) -> None:
        """Stop managing, and leave the jobs as they are."""
        self._lifecycle.detach()

    def wait(self, timeout: float | None = None, *, quiet: bool | None = None) -> None:
        """Wait until the run is over, and show its progress.

        On Ctrl-C the jobs go on.

        Parameters
        ----------
        timeout
            Seconds after which to stop waiting.
        quiet
            Whether nothing is shown; by default as the run was made.

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
        is_quiet = self.quiet if quiet is None else quiet
        wait_for_end(self._lifecycle, self.view, timeout, quiet=is_quiet)

    def __await__(self) -> Generator[Any, None, None]:
        return end_of(self._lifecycle.started_task()).__await__()

    async def ended(self) -> None:
        """Wait, on the event loop, until the run is over, however it ended."""
        await self._lifecycle.ended()

    # Commands while it goes on.

    def pause(self) -> None:
        """Submit nothing new until `resume`.

        Jobs that are in the queue or run go on, and take one learner after the other.

        Raises
        ------
        AdaptiveSchedulerError
            If this manager doesn't manage the run now.
        """
        self._steering.pause()

    def resume(self) -> None:
        """Submit what is missing again, see `pause`.

        Raises
        ------
        AdaptiveSchedulerError
            If this manager doesn't manage the run now.
        """
        self._steering.resume()

    @property
    def is_paused(self) -> bool:
        """Whether nothing new is submitted, see `pause`."""
        return self._steering.is_paused

    def cancel_learners(self, learners: Iterable[int]) -> int:
        """Cancel the jobs that have these learners, which no job runs then until `retry`.

        Jobs save first. Learners that depend on these are cancelled, too.

        Parameters
        ----------
        learners
            Their numbers; those that are done are passed over.

        Returns
        -------
        int
            How many learners are cancelled by this call, those that
            depend on them not counted.

        Raises
        ------
        AdaptiveSchedulerError
            If this manager doesn't manage the run now.
        InvalidInputError
            If there is no such learner.
        """
        return self._steering.cancel_learners(learners)

    def retry(self, learners: Iterable[int] | None = None) -> int:
        """Run learners again that were given up or cancelled, or wait after a failure.

        What they depend on comes along. A run that has ended because learners
        were given up is started again.

        Parameters
        ----------
        learners
            Their numbers; all of them if not given.

        Returns
        -------
        int
            How many learners are tried again because of this call.

        Raises
        ------
        AdaptiveSchedulerError
            If this manager doesn't manage the run now, or it was cancelled.
        InvalidInputError
            If there is no such learner.
        """
        return self._steering.retry(learners)

    # Its state.

    def status(self) -> Status:
        """Return the state of the run, in a word."""
        return self._lifecycle.status()

    def elapsed_time(self) -> float:
        """Return the seconds from `start` to the end, or until now.

        Of a run that was picked up by its folder, from its first start.
        """
        return self._lifecycle.elapsed_time()

    def task_status(self) -> dict[str, str]:
        """Return the state of each of the managers; an error stands there in words."""
        managers: dict[str, Lifecycle | BaseManager | None] = {
            "run_manager": self._lifecycle,
            "database_manager": self.database_manager,
            "job_manager": self.job_manager,
            "kill_manager": self.kill_manager,
        }
        return {name: task_in_words(each.task) for name, each in managers.items() if each}

    @property
    def view(self) -> RunView:
        """The run as dashboards and terminals see it."""
        return LiveView(self)

    @overload
    def info(self, format: Literal["widget"] = "widget") -> Dashboard: ...
    @overload
    def info(self, format: Literal["text"]) -> str: ...
    @overload
    def info(self, format: Literal["data"]) -> RunInfo: ...
    def info(
        self,
        format: Literal["widget", "text", "data"] = "widget",  # noqa: A002  the public name
    ) -> Dashboard | str | RunInfo:
        """Return the state of the run.

        Parameters
        ----------
        format
            ``"widget"`` is a dashboard that a notebook displays and keeps up to
            date; printed, it is text. ``"text"`` is that text, ``"data"`` figures.

        Raises
        ------
        InvalidInputError
            If `format` is none of these.
        """
        match format:
            case "widget":
                from adaptive_scheduler.widgets.dashboard import Dashboard

                return Dashboard(self)
            case "text":
                return as_text(self.view.info())
            case "data":
                return self.view.info()
        raise InvalidInputError(f"`format` is 'widget', 'text' or 'data', not {format!r}.")

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """Be the dashboard, where that can be shown."""
        return self.info()._repr_mimebundle_(**options)

    def _ipython_display_(self) -> None:
        self.info()._ipython_display_()

    def get_database(self) -> pd.DataFrame:
        """Return a table with a row for each learner."""
        return self.database_manager.as_df()

    def parse_log_files(self, *, only_last: bool = True) -> pd.DataFrame:
        """Return what the jobs have logged, see `parse_log_files`."""
        return parse_log_files(self.database_manager, self.scheduler, only_last=only_last)

    def job_starting_times(self) -> list[float]:
        """Return how long each job was pending, in seconds."""
        self.database_manager.record.refresh()
        return event_loop.call(lambda: list(self.database_manager.state.totals.starting_times))

    # Its data.

    def load_learners(self) -> None:
        """Load what the jobs have saved into `learners`.

        Points that jobs have rescued, since their folder was moved or deleted, are
        added, and a `UserWarning` says so.
        """
        self._saved.load(self.learners, with_progress_bar=not self.quiet)

    def load_dataframes(self) -> pd.DataFrame:
        """Return what the jobs have saved as dataframes, as one."""
        return self._saved.dataframes(self.dataframe_format)

    def cleanup(self, *, remove_old_logs_folder: bool = False) -> None:
        """Put logs and scripts away, see ``move_old_logs_to``, and remove what jobs have left.

        Parameters
        ----------
        remove_old_logs_folder
            Delete what this run has put into the folder for old logs, and the
            folder if nothing else is in it.

        Raises
        ------
        AdaptiveSchedulerError
            If the run is not over.
        RunFolderError
            If this is a copy, and the logs or scripts are those of its original.
        """
        self._refuse_while_running("clean up")
        self._refuse_for_original("clean up", parts=("logs", "scripts", "old_logs"))
        if self.database_manager.state.ended is not None:  # else jobs may need it
            remove_all_scratch(self.run_folder.root)
        put_logs_away(self.run_folder, self.job_name, self.scheduler.ext)
        if remove_old_logs_folder and self.run_folder.old_logs is not None:
            remove_old_logs(self.run_folder.old_logs, self.job_name, self.scheduler.ext)

    def remove_existing_data(
        self, *, move_to: str | Path | None = None, force: bool = False
    ) -> list[Path]:
        """Delete or move all data files, so that the run begins anew.

        Parameters
        ----------
        move_to
            A folder for them, relative to the project; None deletes them.
        force
            Do it even while the run is not over: jobs save what they have again.

        Returns
        -------
        list of Path
            The files that there were, as the fnames call them.

        Raises
        ------
        AdaptiveSchedulerError
            If the run is not over and `force` isn't set.
        InvalidInputError
            If a file would be overwritten.
        RunFolderError
            If this is a copy, and the data files or the record are those of its original.
        """
        if not force:
            self._refuse_while_running("remove data")
        self._refuse_for_original("remove data", self.database_manager.resolved, ("journal",))
        removed = self._saved.remove(move_to)
        if self.status() != "running":
            keep_aside(self.run_folder)
        return removed

    def _refuse_for_original(
        self, what: str, fnames: Sequence[ResolvedFname] = (), parts: Collection[str] = ()
    ) -> None:
        is_moved = self.spec.standing is Standing.MOVED
        check_own_files(what, self.run_folder, fnames, parts, is_moved=is_moved)

    def _refuse_while_running(self, what: str) -> None:
        if self.status() == "running":
            raise AdaptiveSchedulerError(
                f"Run '{self.job_name}' is running: cancel it or wait for its end to {what}."
            )
