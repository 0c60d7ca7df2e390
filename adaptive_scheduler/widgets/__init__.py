"""The dashboard of a run in a notebook.

================== ============================================================
module             subject
================== ============================================================
`dashboard`        what users call: a dashboard, and single parts of one
`view`             the dashboard as a widget, and the thread that writes to it
`controls`         its buttons, what they do, and what is asked before
`logs`             which log is shown, and what is new there
`tables`           the rows of each table, and what travels when they change
`html`             the state of a run as HTML, and what a saved notebook shows
`components`       the widgets with JavaScript of their own, and small ones
`run_manager_info` the figures of a run for programs
================== ============================================================

Only `components`, `controls`, `logs` and `view` need ipywidgets. A run is seen through a
`RunView` alone, so that any run can be shown by its folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaptive_scheduler._common.lazy import lazy_names

if TYPE_CHECKING:
    from adaptive_scheduler.widgets.dashboard import (
        Dashboard,
        database_widget,
        info,
        log_explorer,
        multi,
        queue_widget,
        results_widget,
    )
    from adaptive_scheduler.widgets.run_manager_info import RunManagerInfo

_HOME = {
    "Dashboard": "adaptive_scheduler.widgets.dashboard",
    "RunManagerInfo": "adaptive_scheduler.widgets.run_manager_info",
    "database_widget": "adaptive_scheduler.widgets.dashboard",
    "info": "adaptive_scheduler.widgets.dashboard",
    "log_explorer": "adaptive_scheduler.widgets.dashboard",
    "multi": "adaptive_scheduler.widgets.dashboard",
    "queue_widget": "adaptive_scheduler.widgets.dashboard",
    "results_widget": "adaptive_scheduler.widgets.dashboard",
}

__all__ = [
    "Dashboard",
    "RunManagerInfo",
    "database_widget",
    "info",
    "log_explorer",
    "multi",
    "queue_widget",
    "results_widget",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
