"""Tables that are loaded when somebody asks for them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from html import escape
from typing import Any, TypeAlias

import ipywidgets

from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.widgets.columns import Columns
from adaptive_scheduler.widgets.components import Grid
from adaptive_scheduler.widgets.controls import button

log = logging.getLogger(__name__)

#: Returns a table, and a sentence about it.
Load: TypeAlias = Callable[[], tuple[Columns, str]]


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
