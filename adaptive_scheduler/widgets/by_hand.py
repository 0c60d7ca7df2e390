"""Single parts of the dashboard, for who wants only one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.learners.dataframes import load_dataframes
from adaptive_scheduler.widgets.columns import Columns, columns_of_rows
from adaptive_scheduler.widgets.dashboard import Dashboard
from adaptive_scheduler.widgets.queue_table import queue_columns
from adaptive_scheduler.widgets.result_table import columns_of_dataframe, words_about

if TYPE_CHECKING:
    from adaptive_scheduler.learners.dataframes import _DATAFRAME_FORMATS
    from adaptive_scheduler.scheduler.base import BaseScheduler
    from adaptive_scheduler.server_support.run_manager import RunManager

_NO_SCROLLBAR = "<style>.jupyter-widgets-output-area .output_scroll {height: auto}</style>"


def info(
    run_manager: RunManager,
    *,
    display_widget: bool = True,
    disable_widgets_output_scrollbar: bool = True,
) -> Any:
    """Show the dashboard of a run.

    Parameters
    ----------
    run_manager
        The run.
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


def log_explorer(run_manager: RunManager) -> Any:
    """Return a widget with the logs of a run's jobs, those that failed first.

    Parameters
    ----------
    run_manager
        The run.
    """
    from adaptive_scheduler.widgets.log_board import LogBoard
    from adaptive_scheduler.widgets.update_thread import Writer

    def update() -> None:
        board.update()

    writer = Writer(update)
    board = LogBoard(run_manager, writer.nudge)
    board.tail.on_end = writer.close
    writer.start()
    return board.tail


def queue_widget(scheduler: BaseScheduler) -> Any:
    """Return a widget with your jobs in the queue of a scheduler.

    Parameters
    ----------
    scheduler
        Who is asked: once now, and when you click.
    """

    def load() -> tuple[Columns, str]:
        columns = queue_columns(scheduler)
        return columns, f"{len(columns):,} jobs, as of {time.strftime('%H:%M:%S')}."

    return _loaded("Queue", load)


def database_widget(run_manager: RunManager) -> Any:
    """Return a widget with the record of a run: a row for each learner.

    Parameters
    ----------
    run_manager
        The run.
    """

    def load() -> tuple[Columns, str]:
        rows = run_manager.database_manager.as_dicts()
        return columns_of_rows(rows), f"{len(rows):,} rows, as of {time.strftime('%H:%M:%S')}."

    return _loaded("Database", load)


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

    def load() -> tuple[Columns, str]:
        frame = load_dataframes(fnames, format=dataframe_format)
        return columns_of_dataframe(frame), words_about(frame)

    return _loaded("Results", load)


def _loaded(caption: str, load: Any) -> Any:
    from adaptive_scheduler.widgets.tables import LoadedTable

    table = LoadedTable(caption, load)
    table.refresh()
    return table.box
