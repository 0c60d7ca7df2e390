"""The dashboard of one run, of several, and single parts of it: what users call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.learners.dataframes import load_dataframes
from adaptive_scheduler.widgets.dashboard import Dashboard
from adaptive_scheduler.widgets.shown_run import ShownRun
from adaptive_scheduler.widgets.tables import load_database, load_dataframe, load_queue

if TYPE_CHECKING:
    from adaptive_scheduler.learners.dataframes import _DATAFRAME_FORMATS
    from adaptive_scheduler.scheduler.base import BaseScheduler
    from adaptive_scheduler.server_support.run_manager import RunManager

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
    from adaptive_scheduler.widgets.update_thread import UpdateThread

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
