"""What a saved notebook shows of a run: a page below the widget, in the output of the same cell.

The page is an output of its own. Notebooks build an output anew whenever it changes, so
that a widget in it would lose what its user has selected, scrolled and typed. Which of the
two is to be seen, ``static/saved.css`` says. What comes after a notebook has been opened
anew, while its kernel lives, gets into the page by ``static/page_keeper.js``.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from adaptive_scheduler._common.formatting import shortened
from adaptive_scheduler.server_support.info import RunInfo, as_text
from adaptive_scheduler.widgets.html import static_page

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.view import RunView
    from adaptive_scheduler.widgets.components import PageKeeper

#: Seconds between two states of a run that goes on: what is saved is older by so much at most.
INTERVAL = 30.0
#: Characters of text about a run, and about all of them.
_LONGEST_TEXT, _LONGEST_TEXTS = 4_000, 20_000

_VIEW = "application/vnd.jupyter.widget-view+json"


class LastState:
    """The state of runs in the output of a cell, renewed now and then.

    Parameters
    ----------
    views
        The runs.
    """

    def __init__(self, views: Sequence[RunView]) -> None:
        self._views = views
        self._mark = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._publish: Callable[..., None] | None = None
        self._keeper: PageKeeper | None = None
        self._shown: dict[str, RunInfo] = {}
        self._next = 0.0

    def display(self, widget: Any) -> None:
        """Show a widget, and below it the page, in the output of the cell that is executed."""
        from IPython.core.interactiveshell import InteractiveShell

        with self._lock:
            # Kept, since another publisher stands in its place while a cell's output is captured.
            self._publish = InteractiveShell.instance().display_pub.publish
            self._publish({"text/plain": "", "text/html": "", **view_of(widget)})
            self._send(update=False)

    def notice(self, info: RunInfo) -> None:
        """Renew the page if it shows what is no longer so, and it is time to.

        That is at once when the status of a run has changed. That time goes by is no change.

        Parameters
        ----------
        info
            One of the runs as it is now.
        """
        now = _without_times(info)
        with self._lock:
            shown = self._shown.get(now.folder)
            if shown is None or shown == now:
                return
            if shown.status != now.status or time.monotonic() >= self._next:
                self._send()

    def end(self) -> None:
        """Renew the page for the last time, now that the widget is gone."""
        with self._lock:
            self._send(is_beside=False)
            if self._keeper is not None:
                self._keeper.close()
            self._publish, self._keeper, self._shown = None, None, {}

    def _send(self, *, update: bool = True, is_beside: bool = True) -> None:
        if self._publish is None:
            return
        infos = [view.info() for view in self._views]
        self._shown = {info.folder: _without_times(info) for info in infos}
        self._next = time.monotonic() + INTERVAL
        page = page_of(infos, self._mark, is_beside=is_beside)
        self._publish(page, transient={"display_id": self._mark}, update=update)
        self._keep(page)

    def _keep(self, page: dict[str, str]) -> None:
        from adaptive_scheduler.widgets.components import PageKeeper

        if self._keeper is None:
            self._keeper = PageKeeper(self._mark, page)
        else:
            self._keeper.page = page


def page_of(infos: Sequence[RunInfo], mark: str = "", *, is_beside: bool = False) -> dict[str, str]:
    """Return the states of runs as text and as HTML, see `static_page`."""
    text = "\n".join(shortened(as_text(info), _LONGEST_TEXT) for info in infos)
    html = static_page(infos, mark, is_beside=is_beside)
    text = shortened(text, _LONGEST_TEXTS) or "There are no runs."
    return {"text/plain": text, "text/html": html}


def view_of(widget: Any) -> dict[str, Any]:
    """Return what a notebook displays a widget by."""
    return {_VIEW: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}}


def _without_times(info: RunInfo) -> RunInfo:
    return replace(info, as_of=0.0, elapsed_time=0.0, time_left=None)
