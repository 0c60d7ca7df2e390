"""The dashboard as a widget: the strip, the buttons, and what is below them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

import ipywidgets

from adaptive_scheduler.server_support.event_loop import event_loop
from adaptive_scheduler.widgets.columns import Columns, columns_of_rows
from adaptive_scheduler.widgets.components import Grid, Plot, as_rows
from adaptive_scheduler.widgets.controls import Controls, button, put
from adaptive_scheduler.widgets.curves import curves_of
from adaptive_scheduler.widgets.figures import RunFigures, collect_figures
from adaptive_scheduler.widgets.html import strip
from adaptive_scheduler.widgets.learner_table import LearnerTable
from adaptive_scheduler.widgets.log_board import LogBoard
from adaptive_scheduler.widgets.picture import picture_of
from adaptive_scheduler.widgets.queue_table import JOB_COLUMNS, job_rows
from adaptive_scheduler.widgets.result_table import columns_of_dataframe, words_about
from adaptive_scheduler.widgets.tables import LoadedTable, close_all
from adaptive_scheduler.widgets.update_thread import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from adaptive_scheduler.server_support.run_manager import RunManager

_TITLES: Final = ("Learners", "Over time", "Logs", "Jobs", "Database", "Results")
_LEARNERS, _OVER_TIME, _LOGS, _JOBS, _DATABASE, _RESULTS = range(len(_TITLES))
#: Seconds between two times that the curves of selected learners are read from their logs.
_CURVES_INTERVAL: Final = 5.0
#: Seconds between two looks at a run that is over.
_INTERVAL_AFTER_THE_END: Final = 5.0


class Board:
    """A dashboard that keeps itself up to date, 1-2 times a second, until it is closed.

    Parameters
    ----------
    run_manager
        The run that is shown.
    on_look
        Told how the run is, from the thread that writes, as often as that is looked at.

    Attributes
    ----------
    widget
        What a notebook displays.
    """

    def __init__(
        self, run_manager: RunManager, on_look: Callable[[RunFigures], None] | None = None
    ) -> None:
        self._run = run_manager
        self._on_look = on_look
        self._n_shown: int | None = None
        self._next_look = 0.0
        self._next_curves = 0.0
        self._curves_of: list[int] = []
        self._wants_picture = threading.Event()
        self._closing = threading.Lock()
        self._writer = Writer(self._update)
        self._table = LearnerTable(run_manager)
        self._table.update()
        self._strip = ipywidgets.HTML()
        self._learners = Grid(
            self._table.columns,
            caption="Learners",
            index="learner",
            hint="Filter: words, or loss<0.01",
            on_event=self._heard,
        )
        self._controls = Controls(run_manager, self._selected, self._writer.nudge)
        self._plot = Plot()
        self._picture = ipywidgets.HTML()
        self._logs = LogBoard(run_manager, self._writer.nudge)
        self._jobs = Grid(Columns(JOB_COLUMNS, 0), caption="Jobs", index="row")
        self._job_rows: list[Any] = []
        self._database = LoadedTable("Database", self._load_database)
        self._results = LoadedTable("Results", self._load_results, word="Load results")
        self._tabs = self._make_tabs()
        self._learners.observe(lambda _change: self._select(), "selected")
        self._tabs.observe(lambda _change: self._turn_to_tab(), "selected_index")
        self._figures = event_loop.call(collect_figures, run_manager)
        self._show(self._figures)
        self.widget = ipywidgets.VBox([self._strip, self._controls.box, self._tabs])
        self.widget.add_class("as-dashboard")
        self._writer.start()

    def _make_tabs(self) -> Any:
        draw = button(
            "Draw the selected learner",
            self._draw_learner,
            tooltip="Its own plot, of the points that have been loaded",
        )
        row = ipywidgets.Box([draw])
        row.add_class("as-buttons")
        over_time = ipywidgets.VBox([self._plot, row, self._picture])
        children = {
            _LEARNERS: self._learners,
            _OVER_TIME: over_time,
            _LOGS: self._logs.tail,
            _JOBS: self._jobs,
            _DATABASE: self._database.box,
            _RESULTS: self._results.box,
        }
        tabs = ipywidgets.Tab([children[i] for i in sorted(children)], titles=_TITLES)
        tabs.add_class("as-tabs")
        return tabs

    @property
    def is_alive(self) -> bool:
        """Whether it still keeps itself up to date."""
        return self._writer.is_alive

    def close(self) -> None:
        """End all updates, and take the dashboard from all pages."""
        with self._closing:
            if not self._writer.is_alive:
                return
            self._writer.close()
        self._table.close()
        close_all(self.widget)

    # In the thread that writes.

    def _update(self) -> None:
        self._run.database_manager.refresh()
        figures = event_loop.call(collect_figures, self._run)
        is_quiet = figures.is_over and figures == self._figures
        if self._is_out_of_sight():
            return
        self._figures = figures
        self._controls.update(figures)
        if not is_quiet or time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _INTERVAL_AFTER_THE_END
            self._show(figures)
        self._logs.update()
        self._update_curves()
        if self._wants_picture.is_set():
            self._wants_picture.clear()
            self._draw_picture()
        if self._on_look is not None:
            self._on_look(figures)

    def _show(self, figures: RunFigures) -> None:
        put(self._strip, "value", f'<div class="as-root">{strip(figures)}</div>')
        self._learners.push(self._table.update)
        self._plot.push(self._run.recorder.history)
        if self._tabs.selected_index == _JOBS:
            self._jobs.push(self._update_jobs)

    def _update_jobs(self) -> None:
        rows = event_loop.call(job_rows, self._run)
        if rows != self._job_rows:
            self._job_rows = rows
            self._jobs.columns.replace(rows)

    def _update_curves(self) -> None:
        wanted = self._selected()[:]
        is_due = time.monotonic() >= self._next_curves and self._tabs.selected_index == _OVER_TIME
        if wanted != self._curves_of or (wanted and is_due):
            self._curves_of = wanted
            self._next_curves = time.monotonic() + _CURVES_INTERVAL
            put(self._plot, "learners", curves_of(self._run.run_folder, wanted))

    def _draw_picture(self) -> None:
        index = (self._selected() or [0])[0]
        put(self._picture, "value", picture_of(self._run.learners[index], f"learner {index}"))

    def _is_out_of_sight(self) -> bool:
        return self._n_shown == 0

    # What pages say: in any thread.

    def _selected(self) -> list[int]:
        n_learners = len(self._table.columns)
        return [row for row in as_rows(self._learners.selected) if row < n_learners]

    def _heard(self, content: dict[str, Any]) -> None:
        if isinstance(shown := content.get("shown"), int):
            self._n_shown = max(0, (self._n_shown or 0) + shown)
        for row in as_rows([content.get("open")]):
            self._logs.choose(row)
            self._tabs.selected_index = _LOGS
        self._writer.nudge()

    def _select(self) -> None:
        if len(selected := self._selected()) == 1:
            self._logs.choose(selected[0])
        self._writer.nudge()

    def _turn_to_tab(self) -> None:
        if self._tabs.selected_index == _DATABASE and not self._database.is_loaded:
            self._database.refresh()
        self._writer.nudge()

    def _draw_learner(self) -> None:
        self._wants_picture.set()
        self._writer.nudge()

    # What tables load: in threads of their own.

    def _load_database(self) -> tuple[Columns, str]:
        rows = self._run.database_manager.as_dicts()
        return columns_of_rows(rows), f"{len(rows):,} rows, as of {time.strftime('%H:%M:%S')}."

    def _load_results(self) -> tuple[Columns, str]:
        frame = self._run.load_dataframes()
        return columns_of_dataframe(frame), words_about(frame)
