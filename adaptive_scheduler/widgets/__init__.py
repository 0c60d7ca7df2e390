"""The dashboard of a run in a notebook.

================ ==============================================================
module           subject
================ ==============================================================
`parts`          what users call: a dashboard, and single parts of one
`dashboard`      one object with three faces: a widget, HTML and text
`view`           the dashboard as a widget, and those of several runs
`controls`       its buttons, what they do, and what is asked before
`logs`           which log is shown, and what is new there
`tables`         the rows of each table
`plots`          learners over time, and drawn by themselves
`html`           the state of a run as HTML
`last_state`     what a saved notebook shows
`columns`        tables as typed columns, and what travels when they change
`components`     the widgets with JavaScript of their own, and small ones
`update_thread`  the one thread that writes to a widget
`shown_run`      what all of these see of a run
================ ==============================================================

Only `components`, `controls`, `logs` and `view` need ipywidgets. A run is seen through a
`RunView` alone, so that any run can be shown by its folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaptive_scheduler._common.lazy import lazy_names

if TYPE_CHECKING:
    from adaptive_scheduler.widgets.dashboard import Dashboard
    from adaptive_scheduler.widgets.parts import (
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
    "database_widget": "adaptive_scheduler.widgets.parts",
    "info": "adaptive_scheduler.widgets.parts",
    "log_explorer": "adaptive_scheduler.widgets.parts",
    "multi": "adaptive_scheduler.widgets.parts",
    "queue_widget": "adaptive_scheduler.widgets.parts",
    "results_widget": "adaptive_scheduler.widgets.parts",
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
