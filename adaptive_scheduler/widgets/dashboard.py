"""What users call: the dashboard of one run, of several, and single parts of one."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from adaptive_scheduler._common.progress import in_kernel
from adaptive_scheduler.learners.dataframes import load_dataframes
from adaptive_scheduler.server_support.info import as_text
from adaptive_scheduler.widgets.html import LastState, page_of, view_of
from adaptive_scheduler.widgets.tables import load_database, load_dataframe, load_queue

if TYPE_CHECKING:
    from typing import Self

    import pandas as pd
    from adaptive import BaseLearner

    from adaptive_scheduler.learners.dataframes import _DATAFRAME_FORMATS
    from adaptive_scheduler.scheduler.base import BaseScheduler
    from adaptive_scheduler.server_support.run_manager import RunManager
    from adaptive_scheduler.server_support.view import RunView
    from adaptive_scheduler.widgets.view import DashboardWidget


class RunData(Protocol):
    """The learners of a run in this process, and what jobs have saved of them."""

    @property
    def learners(self) -> Sequence[BaseLearner]:
        """The learners."""

    def load_learners(self) -> None:
        """Load what the jobs have saved into `learners`."""

    def load_dataframes(self) -> pd.DataFrame:
        """Return what the jobs have saved as dataframes, as one."""

    def cleanup(self) -> None:
        """Put logs and scripts away."""


@dataclass(frozen=True)
class ShownRun:
    """A run as dashboards get it.

    Attributes
    ----------
    view
        What is to be seen of it.
    data
        Its learners and their data; None if only its folder is looked at, of which nothing
        is unpickled.
    """

    view: RunView
    data: RunData | None

    @classmethod
    def of(cls, run: RunManager | str | Path) -> Self:
        """Return the run of a manager of this process, or the one in a folder.

        Raises
        ------
        RunFolderError
            If there is no run in the folder.
        """
        if isinstance(run, str | Path):
            from adaptive_scheduler.server_support.remote import open_run

            return cls(open_run(run), None)
        return cls(run.view, run)


def in_notebook() -> bool:
    """Whether this process is a kernel whose pages can show widgets."""
    has_widgets = importlib.util.find_spec("anywidget") and importlib.util.find_spec("ipywidgets")
    return bool(has_widgets) and in_kernel()


class Dashboard:
    """The state of a run: a live widget in a notebook, text in a terminal.

    A notebook that is saved or exported while the run goes on shows as HTML its
    state of half a minute ago at most, and afterwards how it ended. There may be several
    dashboards of one run.

    Parameters
    ----------
    run
        The run that is shown: its manager, or its folder. Of a folder nothing is unpickled,
        so that data can't be loaded there.
    """

    def __init__(self, run: RunManager | str | Path) -> None:
        self._run = ShownRun.of(run)
        self._shown: DashboardWidget | None = None
        self._lock = threading.Lock()
        self._last_state = LastState([self._run.view])

    def __repr__(self) -> str:
        return as_text(self._run.view.info())

    @property
    def widget(self) -> Any:
        """The widget; made when it is first asked for."""
        with self._lock:
            if self._shown is None:
                from adaptive_scheduler.widgets.view import DashboardWidget

                self._shown = DashboardWidget(self._run, self._last_state.notice)
            return self._shown.widget

    def close(self) -> None:
        """End all updates, and leave of the widget on all pages how the run was last."""
        with self._lock:
            shown, self._shown = self._shown, None
        if shown is not None:
            shown.close()
            self._last_state.end()

    def _repr_html_(self) -> str:
        return page_of([self._run.view.info()])["text/html"]

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = page_of([self._run.view.info()])
        return bundle | (view_of(self.widget) if in_notebook() else {})

    def _ipython_display_(self) -> None:
        if in_notebook():
            self._last_state.display(self.widget)
        else:
            print(self)  # noqa: T201  IPython's terminal shows it so


_NO_SCROLLBAR = "<style>.jupyter-widgets-output-area .output_scroll {height: auto}</style>"


def info(
    run_manager: RunManager | str | Path,
    *,
    display_widget: bool = True,
    disable_widgets_output_scrollbar: bool = True,
) -> Any:
    """Show the dashboard of a run.

    Parameters
    ----------
    run_manager
        The run: its manager, or its folder.
    display_widget
        Display it now, instead of returning it.
    disable_widgets_output_scrollbar
        Let the output grow as high as the dashboard is, in notebooks that
        would put it into a box of its own with a scrollbar.

    Returns
    -------
    Dashboard or None
        None if it was displayed.
    """
    dashboard = Dashboard(run_manager)
    if not display_widget:
        return dashboard
    from IPython.display import display

    if disable_widgets_output_scrollbar:
        display({"text/html": _NO_SCROLLBAR, "text/plain": ""}, raw=True)  # type: ignore[no-untyped-call]
    display(dashboard)  # type: ignore[no-untyped-call]
    return None


def log_explorer(run_manager: RunManager | str | Path) -> Any:
    """Return a widget with the logs of a run's jobs, those that failed first.

    Parameters
    ----------
    run_manager
        The run: its manager, or its folder.
    """
    from adaptive_scheduler.widgets.logs import LogPane
    from adaptive_scheduler.widgets.view import UpdateThread

    def update() -> None:
        pane.update()

    thread = UpdateThread(update)
    pane = LogPane(ShownRun.of(run_manager).view, thread.nudge)
    pane.tail.on_end = thread.close
    thread.start()
    return pane.tail


def queue_widget(scheduler: BaseScheduler) -> Any:
    """Return a widget with your jobs in the queue of a scheduler.

    Parameters
    ----------
    scheduler
        Who is asked: once now, and when you click.
    """
    return _loaded("Queue", lambda: load_queue(scheduler))


def database_widget(run_manager: RunManager | str | Path) -> Any:
    """Return a widget with the record of a run: a row for each learner.

    Parameters
    ----------
    run_manager
        The run: its manager, or its folder.
    """
    view = ShownRun.of(run_manager).view
    return _loaded("Database", lambda: load_database(view))


def results_widget(
    fnames: Sequence[str] | Sequence[Path], dataframe_format: _DATAFRAME_FORMATS
) -> Any:
    """Return a widget with the dataframes that jobs have saved.

    Parameters
    ----------
    fnames
        Of the learners.
    dataframe_format
        In which they were saved.
    """
    return _loaded(
        "Results", lambda: load_dataframe(load_dataframes(fnames, format=dataframe_format))
    )


def multi(run_managers: Sequence[RunManager | str | Path]) -> Any:
    """Return a widget with a tab for each run.

    Parameters
    ----------
    run_managers
        The runs: their managers, or their folders.
    """
    from adaptive_scheduler.widgets.view import RunTabs

    return RunTabs([ShownRun.of(run) for run in run_managers])


def _loaded(caption: str, load: Any) -> Any:
    from adaptive_scheduler.widgets.components import LoadedTable

    table = LoadedTable(caption, load)
    table.refresh()
    return table.box
