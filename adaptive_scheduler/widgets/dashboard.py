"""One object with three faces: a widget, a page of HTML, and text."""

from __future__ import annotations

import importlib.util
import threading
from typing import TYPE_CHECKING, Any

from adaptive_scheduler._common.progress import in_kernel
from adaptive_scheduler.server_support.event_loop import event_loop
from adaptive_scheduler.server_support.info import as_text, collect_info
from adaptive_scheduler.widgets.last_state import LastState, look_at, page_of, view_of

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.run_manager import RunManager
    from adaptive_scheduler.widgets.view import Board


def in_notebook() -> bool:
    """Whether this process is a kernel whose pages can show widgets."""
    has_widgets = importlib.util.find_spec("anywidget") and importlib.util.find_spec("ipywidgets")
    return bool(has_widgets) and in_kernel()


class Dashboard:
    """How a run does: a live widget in a notebook, text in a terminal.

    A notebook that is saved or exported while the run goes on shows as HTML how it
    was half a minute ago at most, and afterwards how it ended. There may be several
    dashboards of one run.

    Parameters
    ----------
    run_manager
        The run that is shown.
    """

    def __init__(self, run_manager: RunManager) -> None:
        self._run = run_manager
        self._board: Board | None = None
        self._lock = threading.Lock()
        self._last_state = LastState([run_manager])

    def __repr__(self) -> str:
        return as_text(event_loop.call(collect_info, self._run))

    @property
    def widget(self) -> Any:
        """The widget; made when it is first asked for."""
        with self._lock:
            if self._board is None:
                from adaptive_scheduler.widgets.view import Board

                self._board = Board(self._run, self._last_state.notice)
            return self._board.widget

    def close(self) -> None:
        """End all updates, and leave of the widget on all pages how the run was last."""
        with self._lock:
            board, self._board = self._board, None
        if board is not None:
            board.close()
            self._last_state.end()

    def _repr_html_(self) -> str:
        return page_of([look_at(self._run)])["text/html"]

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = page_of([look_at(self._run)])
        return bundle | (view_of(self.widget) if in_notebook() else {})

    def _ipython_display_(self) -> None:
        if in_notebook():
            self._last_state.display(self.widget)
        else:
            print(self)  # noqa: T201  IPython's terminal shows it so
