"""How a run does, and what came out of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, overload

from adaptive_scheduler._common.scratch import remove_all_scratch
from adaptive_scheduler._common.user_warning import warn_user
from adaptive_scheduler.errors import AdaptiveSchedulerError, InvalidInputError
from adaptive_scheduler.learners.dataframes import load_dataframes
from adaptive_scheduler.learners.paths import FnameTypes, Project
from adaptive_scheduler.learners.rescue import add_rescued, node_rescue
from adaptive_scheduler.learners.storage import load_parallel
from adaptive_scheduler.run_folder.journal import read_beginning
from adaptive_scheduler.server_support.base_manager import BaseManager
from adaptive_scheduler.server_support.cleaning import move_aside, put_logs_away, remove_old_logs
from adaptive_scheduler.server_support.event_loop import event_loop
from adaptive_scheduler.server_support.info import RunInfo, as_text
from adaptive_scheduler.server_support.live_view import LiveView
from adaptive_scheduler.server_support.logs import parse_log_files
from adaptive_scheduler.server_support.restore import keep_aside

if TYPE_CHECKING:
    import pandas as pd
    from adaptive import BaseLearner

    from adaptive_scheduler.learners.dataframes import _DATAFRAME_FORMATS
    from adaptive_scheduler.run_folder.layout import RunFolder
    from adaptive_scheduler.scheduler.base import BaseScheduler
    from adaptive_scheduler.server_support.database_manager import DatabaseManager
    from adaptive_scheduler.server_support.job_manager import JobManager
    from adaptive_scheduler.server_support.kill_manager import KillManager
    from adaptive_scheduler.server_support.run_manager import RunManager
    from adaptive_scheduler.server_support.view import RunView
    from adaptive_scheduler.widgets.dashboard import Dashboard

#: How a run can end.
Outcome: TypeAlias = Literal["finished", "cancelled", "failed"]


class RunReport(BaseManager):
    """The side of a `RunManager` that answers questions, and handles what jobs have saved."""

    scheduler: BaseScheduler
    learners: list[BaseLearner]
    fnames: Sequence[FnameTypes]
    job_name: str
    run_folder: RunFolder
    project: Project
    dataframe_format: _DATAFRAME_FORMATS
    quiet: bool
    database_manager: DatabaseManager
    job_manager: JobManager
    kill_manager: KillManager | None
    start_time: float | None
    end_time: float | None
    _outcome: Outcome | None

    def status(self) -> Literal["not yet started", "running", "unmanaged"] | Outcome:
        """Return how the run is, in a word."""
        if self.task is None and self.database_manager.record.is_following:
            return self._status_elsewhere()
        if self.task is None:
            return "not yet started"
        if not self.task.done():
            return self._outcome or "running"
        return "failed" if self.task.exception() is not None else self._outcome or "cancelled"

    def _status_elsewhere(self) -> Literal["running", "unmanaged"] | Outcome:
        """Return how a run is that this manager only looks at."""
        self.database_manager.record.refresh()
        ended = self.database_manager.state.ended
        if ended is not None:
            return cast("Outcome", ended)
        return "unmanaged" if self.database_manager.other_holder() is None else "running"

    @property
    def view(self) -> RunView:
        """The run as dashboards and terminals see it."""
        return LiveView(cast("RunManager", self))

    def task_status(self) -> dict[str, str]:
        """Return how each of the managers is; an error stands there in words."""
        managers = {
            "run_manager": self,
            "database_manager": self.database_manager,
            "job_manager": self.job_manager,
            "kill_manager": self.kill_manager,
        }
        return {name: manager.state_of_task() for name, manager in managers.items() if manager}

    def elapsed_time(self) -> float:
        """Return the seconds from `start` to the end, or until now.

        Of a run that was picked up by its folder, from its first start.
        """
        return 0.0 if self.start_time is None else (self.end_time or time.time()) - self.start_time

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
        """Return how the run does.

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

                return Dashboard(cast("RunManager", self))
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

    # Data.

    def load_learners(self) -> None:
        """Load what the jobs have saved into `learners`.

        Points that jobs have rescued, since their folder was moved or deleted, are
        added, and a `UserWarning` says so.
        """
        fnames = self.database_manager.resolved
        load_parallel(self.learners, fnames, with_progress_bar=not self.quiet)
        beginning = read_beginning(self.run_folder.journal)
        run_id = "" if beginning is None else beginning.run_id
        folders = [self.run_folder.rescue, node_rescue(run_id)]
        if news := add_rescued(self.learners, fnames, folders):
            warn_user("\n".join(news))

    def load_dataframes(self) -> pd.DataFrame:
        """Return what the jobs have saved as dataframes, as one."""
        return load_dataframes(self.database_manager.resolved, format=self.dataframe_format)

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
        """
        self._refuse_while_running("clean up")
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
        """
        if not force:
            self._refuse_while_running("remove data")
        named = {
            path: name
            for fname in self.database_manager.resolved
            for path, name in zip(fname.paths, fname.names, strict=True)
        }
        moved = move_aside(list(named), None if move_to is None else self.project.path(move_to))
        if self.status() != "running":
            keep_aside(self.run_folder)
        return [named[path] for path in moved]

    def _refuse_while_running(self, what: str) -> None:
        if self.status() == "running":
            raise AdaptiveSchedulerError(
                f"Run '{self.job_name}' is running: cancel it or wait for its end to {what}."
            )
