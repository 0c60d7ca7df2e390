"""One object with three faces: a widget, a page of HTML, and text."""

from __future__ import annotations

import importlib.util
import sys
import threading
import uuid
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.server_support.event_loop import event_loop
from adaptive_scheduler.server_support.info import as_text, collect_info
from adaptive_scheduler.widgets.figures import RunFigures, collect_figures
from adaptive_scheduler.widgets.html import static_page

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.run_manager import RunManager
    from adaptive_scheduler.widgets.board import Board

_VIEW = "application/vnd.jupyter.widget-view+json"


def in_notebook() -> bool:
    """Whether this process is a kernel whose pages can show widgets."""
    kernel = sys.modules.get("ipykernel.kernelapp")
    has_widgets = importlib.util.find_spec("anywidget") and importlib.util.find_spec("ipywidgets")
    return bool(has_widgets) and kernel is not None and kernel.IPKernelApp.initialized()


class Dashboard:
    """How a run does: a live widget in a notebook, text in a terminal.

    A saved or exported notebook shows HTML: how the run ended, or, while it goes
    on, how it was when the cell was executed. There may be several dashboards of
    one run.

    Parameters
    ----------
    run_manager
        The run that is shown.
    """

    def __init__(self, run_manager: RunManager) -> None:
        self._run = run_manager
        self._board: Board | None = None
        self._lock = threading.Lock()
        self._display_id = ""

    def __repr__(self) -> str:
        return as_text(event_loop.call(collect_info, self._run))

    @property
    def widget(self) -> Any:
        """The widget; made when it is first asked for."""
        with self._lock:
            if self._board is None:
                from adaptive_scheduler.widgets.board import Board

                self._board = Board(self._run, self._show_last_state)
            return self._board.widget

    def close(self) -> None:
        """End all updates, and take the widget from all pages."""
        with self._lock:
            board, self._board = self._board, None
        if board is not None:
            board.close()

    def _repr_html_(self) -> str:
        return event_loop.call(_html, self._run)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": repr(self)}
        if "IPython" in sys.modules:
            bundle["text/html"] = self._repr_html_()
        if in_notebook():
            model = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
            bundle[_VIEW] = model
        return bundle

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if in_notebook():
            self._display_id = uuid.uuid4().hex
            bundle = self._repr_mimebundle_()
            display(bundle, raw=True, display_id=self._display_id)  # type: ignore[no-untyped-call]
        else:
            print(self)  # noqa: T201  IPython's terminal shows it so

    def _show_last_state(self, figures: RunFigures) -> None:
        """Let the page that is saved show how the run ended."""
        if figures.is_over and self._display_id:
            from IPython.display import update_display

            bundle = self._repr_mimebundle_()
            update_display(bundle, raw=True, display_id=self._display_id)  # type: ignore[no-untyped-call]


def _html(run_manager: RunManager) -> str:
    info = collect_info(run_manager)
    failures = [(failure.learner, failure.error) for failure in info.failures]
    return static_page(collect_figures(run_manager), failures)
