"""The dashboards of several runs, one behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.run_manager import RunManager


def multi(run_managers: Sequence[RunManager]) -> Any:
    """Return a widget with a tab for each run.

    Parameters
    ----------
    run_managers
        The runs.
    """
    import ipywidgets

    from adaptive_scheduler.widgets.dashboard import Dashboard

    dashboards = [Dashboard(run) for run in run_managers]
    tabs = ipywidgets.Tab(
        [dashboard.widget for dashboard in dashboards],
        titles=[run.job_name for run in run_managers],
    )
    tabs.add_class("as-tabs")
    return tabs
