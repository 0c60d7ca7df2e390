"""The dashboard as a widget: the strip, the buttons, and what is below them."""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any, Final

import ipywidgets

from adaptive_scheduler.run_folder.log_lines import status_lines
from adaptive_scheduler.widgets.components import (
    Grid,
    LoadedTable,
    Plot,
    as_rows,
    button,
    close_all,
    put,
)
from adaptive_scheduler.widgets.controls import Controls
from adaptive_scheduler.widgets.html import LastState, strip
from adaptive_scheduler.widgets.logs import LogPane
from adaptive_scheduler.widgets.tables import (
    Columns,
    FollowedJobs,
    FollowedLearners,
    load_database,
    load_dataframe,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adaptive import BaseLearner

    from adaptive_scheduler.server_support.info import RunInfo
    from adaptive_scheduler.server_support.view import RunView
    from adaptive_scheduler.widgets.dashboard import RunData, ShownRun

log = logging.getLogger(__name__)

#: Seconds between two pushes.
INTERVAL = 1.0
#: Seconds between two pushes at the least, however much is wanted.
_SHORTEST = 0.1


class UpdateThread:
    """Calls a function again and again in a thread of its own, until it is closed.

    Two threads that write to one widget at once disturb each other, and the
    main thread is busy while a cell computes: so this one writes, and no other.

    Parameters
    ----------
    update
        Called every `interval` seconds, and after `nudge`. If it raises, that
        is logged, once for each kind of error, and it is called again.
    interval
        In seconds.
    """

    def __init__(self, update: Callable[[], None], interval: float = INTERVAL) -> None:
        self._update = update
        self._interval = interval
        self._woken = threading.Event()
        self._closed = threading.Event()
        self._told: set[str] = set()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(
            target=self._run, name="adaptive-scheduler-widget", daemon=True
        )
        self._thread.start()

    def nudge(self) -> None:
        """Have the function called soon."""
        self._woken.set()

    def close(self) -> None:
        """End; the function is not called again, once this has returned."""
        self._closed.set()
        self._woken.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    @property
    def is_alive(self) -> bool:
        """Whether the function is still going to be called."""
        return not self._closed.is_set()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._woken.clear()
            try:
                self._update()
            except Exception as error:  # told once; the next update may do
                if repr(error) not in self._told:
                    self._told.add(repr(error))
                    log.exception("A widget could not be brought up to date.")
            if not self._closed.wait(_SHORTEST):
                self._woken.wait(self._interval - _SHORTEST)


#: Learners that are drawn at once; more can't be told apart.
MOST_CURVES: Final = 8
#: Points of a curve that are drawn; of more, every second, third and so on.
_MOST_POINTS: Final = 400


def curves_of(view: RunView, learners: Iterable[int]) -> list[dict[str, Any]]:
    """Return points and loss over time of learners, from the logs of all their attempts."""
    return [_curve(view, index) for index in list(learners)[:MOST_CURVES]]


def _curve(view: RunView, learner: int) -> dict[str, Any]:
    logs = dict.fromkeys(attempt.log for attempt in view.attempts(learner) if attempt.log)
    lines = [line for log in logs for line in status_lines(log, learner)]
    lines = lines[:: len(lines) // _MOST_POINTS + 1] + lines[-1:]
    samples = {_seconds(line): line for line in lines if line.get("timestamp")}
    times = sorted(samples)
    return {
        "index": learner,
        "time": times,
        "npoints": [samples[t].get("npoints") for t in times],
        "loss": [samples[t].get("latest_loss") for t in times],
    }


def _seconds(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def picture_of(learner: BaseLearner, title: str) -> str:
    """Return what ``learner.plot()`` draws as HTML; in words why nothing can be drawn, if so."""
    if not learner.npoints:
        return _words(f"{title} has no points here: load the learners first.")
    try:
        image = base64.b64encode(_png(learner)).decode()
    except Exception as error:  # noqa: BLE001  what a learner's plot may raise is its own affair
        return _words(f"{title} can't be drawn: {error}")
    return (
        f'<div class="as-root as-picture"><p>{escape(title)}: {learner.npoints:,} points</p>'
        f'<img src="data:image/png;base64,{image}" alt="Plot of {escape(title)}"></div>'
    )


def _png(learner: Any) -> bytes:
    import holoviews as hv
    import holoviews.plotting.mpl  # it registers the renderer

    plot = learner.plot()
    if isinstance(plot, hv.HoloMap | hv.DynamicMap):
        plot = plot.last
    data, _ = hv.Store.renderers["matplotlib"](plot, fmt="png")
    return bytes(data)


def _words(text: str) -> str:
    return f'<p class="as-root as-said">{escape(text)}</p>'


_OVER_TIME, _LOGS, _JOBS, _DATABASE = "Over time", "Logs", "Jobs", "Database"
#: Seconds between two times that the curves of selected learners are read from their logs.
_CURVES_INTERVAL: Final = 5.0
#: Seconds between two looks at a run that is over.
_INTERVAL_AFTER_THE_END: Final = 5.0


class DashboardWidget:
    """A dashboard that keeps itself up to date, 1-2 times a second, until it is closed.

    Parameters
    ----------
    run
        The run that is shown.
    on_look
        Told the state of the run, from the thread that writes, as often as that is looked at.

    Attributes
    ----------
    widget
        What a notebook displays.
    """

    def __init__(self, run: ShownRun, on_look: Callable[[RunInfo], None] | None = None) -> None:
        self._run, self._view = run, run.view
        self._on_look = on_look
        self._n_shown: int | None = None
        self._next_look = 0.0
        self._next_curves = 0.0
        self._curves_of: list[int] = []
        self._wants_picture = threading.Event()
        self._closing = threading.Lock()
        self._writer = UpdateThread(self._update)
        self._table = FollowedLearners(run.view)
        self._table.update()
        self._strip = ipywidgets.HTML()
        self._learners = Grid(
            self._table.columns,
            caption="Learners",
            index="learner",
            hint="Filter: words, or loss<0.01",
            on_event=self._heard,
        )
        self._controls = Controls(run, self._selected, self._writer.nudge)
        self._plot = Plot()
        self._picture = ipywidgets.HTML()
        self._logs = LogPane(run.view, self._writer.nudge)
        self._job_table = FollowedJobs(run.view)
        self._jobs = Grid(self._job_table.columns, caption="Jobs", index="row")
        self._database = LoadedTable("Database", lambda: load_database(run.view))
        self._tabs = self._make_tabs()
        self._learners.observe(lambda _change: self._select(), "selected")
        self._tabs.observe(lambda _change: self._turn_to_tab(), "selected_index")
        self._info = self._view.info()
        self._show(self._info)
        self.widget = ipywidgets.VBox([self._strip, self._controls.box, self._tabs])
        self.widget.add_class("as-dashboard")
        self._writer.start()

    def _make_tabs(self) -> Any:
        over_time = [self._plot]
        if self._run.data is not None:
            draw = button(
                "Draw the selected learner",
                self._draw_learner,
                tooltip="Its own plot, of the points that have been loaded",
            )
            row = ipywidgets.Box([draw])
            row.add_class("as-buttons")
            over_time += [row, self._picture]
        children = {
            "Learners": self._learners,
            _OVER_TIME: ipywidgets.VBox(over_time),
            _LOGS: self._logs.tail,
            _JOBS: self._jobs,
            _DATABASE: self._database.box,
        }
        if (data := self._run.data) is not None:
            results = LoadedTable("Results", lambda: _load_results(data), word="Load results")
            children["Results"] = results.box
        tabs = ipywidgets.Tab(list(children.values()), titles=tuple(children))
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
        close_all(self.widget)

    # In the thread that writes.

    def _update(self) -> None:
        info = self._view.info()
        is_quiet = info.is_over and replace(info, as_of=0.0) == replace(self._info, as_of=0.0)
        if self._is_out_of_sight():
            return
        self._info = info
        self._controls.update(info)
        if not is_quiet or time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _INTERVAL_AFTER_THE_END
            self._show(info)
        self._logs.update()
        self._update_curves()
        if self._wants_picture.is_set():
            self._wants_picture.clear()
            self._draw_picture()
        if self._on_look is not None:
            self._on_look(info)

    def _show(self, info: RunInfo) -> None:
        put(self._strip, "value", f'<div class="as-root">{strip(info)}</div>')
        self._learners.push(self._table.update)
        self._plot.push(self._view.history())
        if self._shown_tab() == _JOBS:
            self._jobs.push(self._job_table.update)

    def _update_curves(self) -> None:
        wanted = self._selected()[:]
        is_due = time.monotonic() >= self._next_curves and self._shown_tab() == _OVER_TIME
        if wanted != self._curves_of or (wanted and is_due):
            self._curves_of = wanted
            self._next_curves = time.monotonic() + _CURVES_INTERVAL
            put(self._plot, "learners", curves_of(self._view, wanted))

    def _draw_picture(self) -> None:
        if self._run.data is not None:
            index = (self._selected() or [0])[0]
            learner = self._run.data.learners[index]
            put(self._picture, "value", picture_of(learner, f"learner {index}"))

    def _is_out_of_sight(self) -> bool:
        return self._n_shown == 0

    # What pages say: in any thread.

    def _shown_tab(self) -> str:
        index = self._tabs.selected_index
        return "" if index is None else str(self._tabs.titles[index])

    def _selected(self) -> list[int]:
        n_learners = len(self._table.columns)
        return [row for row in as_rows(self._learners.selected) if row < n_learners]

    def _heard(self, content: dict[str, Any]) -> None:
        if isinstance(shown := content.get("shown"), int):
            self._n_shown = max(0, (self._n_shown or 0) + shown)
        for row in as_rows([content.get("open")]):
            self._logs.choose(row)
            self._tabs.selected_index = self._tabs.titles.index(_LOGS)
        self._writer.nudge()

    def _select(self) -> None:
        if len(selected := self._selected()) == 1:
            self._logs.choose(selected[0])
        self._writer.nudge()

    def _turn_to_tab(self) -> None:
        if self._shown_tab() == _DATABASE and not self._database.is_loaded:
            self._database.refresh()
        self._writer.nudge()

    def _draw_learner(self) -> None:
        self._wants_picture.set()
        self._writer.nudge()


class RunTabs(ipywidgets.Tab):  # type: ignore[misc]
    """A tab for each run; a saved notebook shows the last states of all of them.

    Parameters
    ----------
    runs
        The runs.
    """

    def __init__(self, runs: Sequence[ShownRun]) -> None:
        self._last_state = LastState([run.view for run in runs])
        self._shown = [DashboardWidget(run, self._last_state.notice) for run in runs]
        titles = [run.view.info().name for run in runs]
        super().__init__([shown.widget for shown in self._shown], titles=titles)
        self.add_class("as-tabs")

    def _ipython_display_(self) -> None:
        self._last_state.display(self)

    def close(self) -> None:
        """End all updates, and leave the last states of the runs on all pages."""
        all_shown, self._shown = self._shown, []
        for shown in all_shown:
            shown.close()
        super().close()
        if all_shown:
            self._last_state.end()


def _load_results(data: RunData) -> tuple[Columns, str]:
    return load_dataframe(data.load_dataframes())
