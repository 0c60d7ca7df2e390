"""The logs of a run as a widget."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.widgets.components import LogTail
from adaptive_scheduler.widgets.controls import put
from adaptive_scheduler.widgets.log_pane import LogPane

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.run_manager import RunManager


class LogBoard:
    """Shows what a `LogPane` follows.

    Parameters
    ----------
    run_manager
        Whose jobs.
    nudge
        Has `update` called soon.

    Attributes
    ----------
    tail
        The widget.
    """

    def __init__(self, run_manager: RunManager, nudge: Callable[[], None]) -> None:
        self._pane = LogPane(run_manager)
        self._n_learners = len(run_manager.learners)
        self._nudge = nudge
        self.tail = LogTail(lambda: self._pane.text, self._heard)

    def choose(self, learner: int) -> None:
        """Show the log of a learner."""
        self._pane.choose(learner)
        self._nudge()

    def update(self) -> None:
        """Show what is new, in the thread that writes."""
        news = self._pane.update()
        if news.sources is not None:
            put(self.tail, "sources", news.sources)
        learner = self._pane.learner
        put(self.tail, "source", "" if learner is None else str(learner))
        if news.head is not None:
            put(self.tail, "head", news.head)
        if news.reset is not None:
            self.tail.send({"reset": news.reset})
        elif news.append:
            self.tail.send({"append": news.append})

    def _heard(self, content: dict[str, Any]) -> None:
        if (learner := _number(content.get("source"))) is not None and learner < self._n_learners:
            self._pane.choose(learner)
        if (attempt := _number(content.get("attempt"))) is not None:
            self._pane.choose(attempt=attempt)
        if isinstance(file := content.get("file"), str):
            self._pane.choose(file=file)
        self._nudge()


def _number(value: object) -> int | None:
    return int(value) if isinstance(value, str) and value.isdecimal() else None
