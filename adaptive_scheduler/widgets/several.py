"""The dashboards of several runs, one behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets

from adaptive_scheduler.widgets.last_state import LastState
from adaptive_scheduler.widgets.view import Board

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.run_manager import RunManager


class RunTabs(ipywidgets.Tab):  # type: ignore[misc]
    """A tab for each run; a saved notebook shows how all of them were last.

    Parameters
    ----------
    run_managers
        The runs.
    """

    def __init__(self, run_managers: Sequence[RunManager]) -> None:
        self._last_state = LastState(run_managers)
        self._boards = [Board(run, self._last_state.notice) for run in run_managers]
        titles = [run.job_name for run in run_managers]
        super().__init__([board.widget for board in self._boards], titles=titles)
        self.add_class("as-tabs")

    def _ipython_display_(self) -> None:
        self._last_state.display(self)

    def close(self) -> None:
        """End all updates, and leave of the tabs on all pages how the runs were last."""
        boards, self._boards = self._boards, []
        for board in boards:
            board.close()
        super().close()
        if boards:
            self._last_state.end()


def multi(run_managers: Sequence[RunManager]) -> Any:
    """Return a widget with a tab for each run.

    Parameters
    ----------
    run_managers
        The runs.
    """
    return RunTabs(run_managers)
