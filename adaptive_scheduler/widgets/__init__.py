"""The dashboard of a run in a notebook.

================ ==============================================================
module           subject
================ ==============================================================
`columns`        tables as typed columns, and what travels when they change
`learner_table`  a row for each learner
`figures`        how a run is, as the strip on top shows it
`html`           the same as HTML
`attempts`       all attempts at one learner
`log_pane`       which log is shown, and what is new there
`actions`        what the buttons do
`update_thread`  the one thread that writes to a widget
`components`     the widgets with JavaScript of their own
`view`           all of it together
`last_state`     what a saved notebook shows
`dashboard`      one object with three faces
`several`        the dashboards of several runs
================ ==============================================================

Only `components`, `controls`, `tables`, `log_board`, `view` and `several` need ipywidgets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaptive_scheduler._common.lazy import lazy_names

if TYPE_CHECKING:
    from adaptive_scheduler.widgets.by_hand import (
        database_widget,
        info,
        log_explorer,
        queue_widget,
        results_widget,
    )
    from adaptive_scheduler.widgets.dashboard import Dashboard
    from adaptive_scheduler.widgets.run_manager_info import RunManagerInfo
    from adaptive_scheduler.widgets.several import multi

_HOME = {
    "Dashboard": "adaptive_scheduler.widgets.dashboard",
    "RunManagerInfo": "adaptive_scheduler.widgets.run_manager_info",
    "database_widget": "adaptive_scheduler.widgets.by_hand",
    "info": "adaptive_scheduler.widgets.by_hand",
    "log_explorer": "adaptive_scheduler.widgets.by_hand",
    "multi": "adaptive_scheduler.widgets.several",
    "queue_widget": "adaptive_scheduler.widgets.by_hand",
    "results_widget": "adaptive_scheduler.widgets.by_hand",
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
