"""The components of the dashboard: those with JavaScript of their own, and small ones.

A component with JavaScript sends everything with its state, for pages that are opened now
or later, and then messages with what is new. Only the thread that writes to it may call its
methods; what a page says arrives in ``on_event``, in any thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from html import escape
from typing import Any, TypeAlias

import anywidget
import ipywidgets
import traitlets

from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.run_folder.history import History
from adaptive_scheduler.widgets.html import asset
from adaptive_scheduler.widgets.tables import Columns

log = logging.getLogger(__name__)

#: Is told what a page says.
OnEvent: TypeAlias = Callable[[dict[str, Any]], None]

#: Returns a table, and a sentence about it.
Load: TypeAlias = Callable[[], tuple[Columns, str]]

#: Seconds between two times that everything is sent because a page has missed something.
_REPAIR = 5.0
#: Seconds between two times that all samples are sent, at most.
_LONGEST_PAUSE = 60.0


class Component(anywidget.AnyWidget):
    """What those with JavaScript have in common."""

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)

    def __init__(self, name: str, on_event: OnEvent | None = None, **traits: Any) -> None:
        scripts = ["common.js", f"{name}.js"]
        styles = ["theme.css", "strip.css", "saved.css", "dashboard.css", "grid.css", f"{name}.css"]
        if name == "plot":
            scripts.insert(0, "uplot/uPlot.iife.min.js")
            styles.insert(0, "uplot/uPlot.min.css")
        esm = "\n".join(map(asset, scripts))
        css = "\n".join(map(asset, dict.fromkeys(styles)))
        self._lock = threading.RLock()
        super().__init__(_esm=esm, _css=css, **traits)
        if on_event is not None:
            self.on_msg(lambda _widget, content, _buffers: on_event(content))


class Grid(Component):
    """A table of typed columns.

    Parameters
    ----------
    columns
        What is shown.
    caption, index, hint
        What the table is called, its first column, and what stands in the empty filter.
    on_event
        Is told ``{"open": row}`` when a row is opened, and ``{"shown": 1}`` or
        ``{"shown": -1}`` when the table appears on a page or disappears.
    """

    table = traitlets.Any().tag(sync=True, to_json=lambda _, grid: grid.everything())
    selected = traitlets.List(traitlets.Int()).tag(sync=True)
    caption = traitlets.Unicode().tag(sync=True)
    index = traitlets.Unicode().tag(sync=True)
    hint = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        columns: Columns,
        *,
        caption: str,
        index: str = "row",
        hint: str = "Filter",
        on_event: OnEvent | None = None,
    ) -> None:
        self.columns = columns
        self._wants_whole = False
        self._next_whole = 0.0
        self._on_event = on_event
        columns.whole()  # it travels with the state
        super().__init__("grid", self._heard, caption=caption, index=index, hint=hint)

    def everything(self) -> dict[str, Any]:
        """Return the whole table as it travels."""
        with self._lock:
            return {**self.columns.snapshot(), "now": time.time()}

    def push(self, update: Callable[[], None]) -> None:
        """Have the table brought up to date, and send what is new."""
        with self._lock:
            update()
            changes = self.columns.changes()
            if changes is not None and changes[0].get("whole"):
                self.push_whole()
            elif changes is not None:
                message, buffers = changes
                self.send({**message, "now": time.time()}, buffers)
            if self._wants_whole and time.monotonic() >= self._next_whole:
                self.push_whole()

    def push_whole(self) -> None:
        """Send the whole table."""
        with self._lock:
            self._wants_whole = False
            self._next_whole = time.monotonic() + _REPAIR
            self.columns.whole()
            self.send_state("table")

    def show(self, columns: Columns) -> None:
        """Show another table."""
        with self._lock:
            columns.sequence = self.columns.sequence + 1
            self.columns = columns
            self.push_whole()

    def _heard(self, content: dict[str, Any]) -> None:
        if "has" in content:  # a page that was loading hears from now on, or has missed something
            self._wants_whole |= content["has"] != self.columns.sequence
        elif self._on_event is not None:
            self._on_event(content)


class Plot(Component):
    """The curves of a run over time."""

    samples = traitlets.Any().tag(sync=True, to_json=lambda _, plot: plot.everything())
    learners: Any = traitlets.List().tag(sync=True)

    def __init__(self) -> None:
        self._sent: list[list[Any]] = []
        self._interval = 0.0
        self._next_whole, self._pause = 0.0, 1.0
        super().__init__("plot")

    def everything(self) -> list[list[Any]]:
        """Return all samples: time, points, loss, running jobs."""
        with self._lock:
            return self._sent

    def push(self, history: History) -> None:
        """Send the samples that are new."""
        samples: list[list[Any]] = [
            [s.time, s.npoints, s.loss, s.jobs_running] for s in list(history.samples)
        ]
        now = time.monotonic()
        with self._lock:
            if samples == self._sent and now < self._next_whole:
                return
            is_new = history.interval != self._interval or not self._sent
            self._interval = history.interval
            since = self._sent[-2][0] if len(self._sent) > 1 else 0.0
            self._sent = samples
            if is_new or self._next_whole <= now:
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)
                self._next_whole = now + self._pause
                self.send_state("samples")
            else:
                self.send({"since": since, "samples": [s for s in samples if s[0] > since]})


class LogTail(Component):
    """The end of a log that grows."""

    text = traitlets.Any().tag(sync=True, to_json=lambda _, tail: tail.everything())
    sources: Any = traitlets.List().tag(sync=True)
    source = traitlets.Unicode().tag(sync=True)
    head: Any = traitlets.Dict().tag(sync=True)

    def __init__(self, everything: Callable[[], str], on_event: OnEvent | None = None) -> None:
        self.everything = everything
        #: Called when the widget is closed.
        self.on_end: Callable[[], None] | None = None
        super().__init__("log", on_event)

    def close(self) -> None:
        """Take it from all pages."""
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end()
        super().close()


class PageKeeper(anywidget.AnyWidget):
    """Has notebooks keep a page that were opened after its cell was executed. It is not to be seen.

    Parameters
    ----------
    mark
        What stands in the page, and in no other.
    page
        The page, as text and as HTML.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    mark = traitlets.Unicode().tag(sync=True)
    page: Any = traitlets.Dict().tag(sync=True)

    def __init__(self, mark: str, page: dict[str, str]) -> None:
        super().__init__(_esm=asset("page_keeper.js"), mark=mark, page=page)


def as_rows(values: Sequence[Any]) -> list[int]:
    """Return the row numbers that a page has sent, as far as they are some."""
    return [value for value in values if isinstance(value, int) and value >= 0]


# Small ones.


def button(text: str, does: Callable[[], None], *, tooltip: str = "", danger: bool = False) -> Any:
    """Return a button that calls a function, which must not take long."""
    made = ipywidgets.Button(description=text, tooltip=tooltip)
    made.add_class("as-action")
    if danger:
        made.add_class("as-danger")
    made.on_click(lambda _button: does())
    return made


def put(widget: Any, trait: str, value: object) -> None:
    """Set a trait if that changes it: nothing travels otherwise."""
    if getattr(widget, trait) != value:
        setattr(widget, trait, value)


class LoadedTable:
    """A table with a button that loads it anew.

    Parameters
    ----------
    caption
        What the table is called.
    load
        Loads it; called in a thread of its own, once at a time.
    word
        What stands on the button.

    Attributes
    ----------
    box
        The widget.
    """

    def __init__(self, caption: str, load: Load, *, word: str = "Refresh") -> None:
        self._load = load
        self._loading = threading.Lock()
        self.is_loaded = False
        self.grid = Grid(Columns((), 0), caption=caption)
        self._said = ipywidgets.HTML()
        self._said.add_class("as-words")
        row = ipywidgets.Box([button(word, self.refresh), self._said])
        row.add_class("as-buttons")
        self.box = ipywidgets.VBox([row, self.grid])
        self.box.add_class("as-dashboard")

    def refresh(self) -> None:
        """Load the table, in another thread; nothing happens while it is being loaded."""
        if self._loading.acquire(blocking=False):
            name = "adaptive-scheduler-table"
            threading.Thread(target=self._refresh, name=name, daemon=True).start()

    def _refresh(self) -> None:
        try:
            self.is_loaded = True
            self._say("Loading ...")
            columns, words = self._load()
            self.grid.show(columns)
            self._say(words)
        except (AdaptiveSchedulerError, OSError) as error:
            self._say(str(error), is_error=True)
        except Exception as error:  # whoever has clicked must be told, whatever it is
            log.exception("A table can't be loaded")
            self._say(f"It can't be loaded: {error!r}", is_error=True)
        finally:
            self._loading.release()

    def _say(self, text: str, *, is_error: bool = False) -> None:
        kind = "as-said as-wrong" if is_error else "as-said"
        words = f'<span class="as-root {kind}" role="status">{escape(text)}</span>'
        self._said.value = words

    def close(self) -> None:
        """Close all widgets."""
        close_all(self.box)


def close_all(widget: Any) -> None:
    """Close a widget and all that it contains."""
    for child in getattr(widget, "children", ()):
        close_all(child)
    widget.close()
