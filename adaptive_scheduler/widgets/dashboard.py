"""One object with three faces: a widget, a page of HTML, and text."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler._common.progress import in_kernel
from adaptive_scheduler.server_support.info import as_text
from adaptive_scheduler.widgets.last_state import LastState, page_of, view_of
from adaptive_scheduler.widgets.shown_run import ShownRun

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.run_manager import RunManager
    from adaptive_scheduler.widgets.view import DashboardWidget


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
