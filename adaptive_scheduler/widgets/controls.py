"""The buttons of the dashboard, with a question before anything is cancelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets

from adaptive_scheduler.widgets import actions

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.run_manager import RunManager
    from adaptive_scheduler.widgets.figures import RunFigures


def button(text: str, does: Callable[[], None], *, tooltip: str = "", danger: bool = False) -> Any:
    """Return a button that calls a function, which must not take long."""
    made = ipywidgets.Button(description=text, tooltip=tooltip)
    made.add_class("as-action")
    if danger:
        made.add_class("as-danger")
    made.on_click(lambda _button: does())
    return made


class Controls:
    """The row of buttons, what they ask, and what they say.

    A click only leaves word of what is wanted: it is done on other threads, and
    all that it changes here is written by `update`.

    Parameters
    ----------
    run_manager
        The run that is steered.
    selected
        Returns the learners that the user has selected.
    nudge
        Has `update` called soon.

    Attributes
    ----------
    box
        The widget.
    """

    def __init__(
        self,
        run_manager: RunManager,
        selected: Callable[[], Sequence[int]],
        nudge: Callable[[], None],
    ) -> None:
        self._run, self._selected, self._nudge = run_manager, selected, nudge
        self._desk = actions.Desk(nudge)
        self._is_asking = False
        self._asked_about: list[int] = []
        self._pause = button("Pause", self._click_pause, tooltip="Submit no new jobs for a while")
        self._retry = button("Retry failed", self._click_retry)
        self._load = button(
            "Load learners", self._click_load, tooltip="Load what the jobs have saved"
        )
        self._clean = button(
            "Clean up", self._click_clean, tooltip="Put logs and scripts away, after the end"
        )
        self._cancel = button("Cancel ...", self._click_cancel, tooltip="Jobs save first")
        self._yes = button("Yes, cancel", self._click_yes, danger=True)
        self._no = button("No, let it go on", self._click_no)
        self._question = ipywidgets.HTML()
        self._asking = ipywidgets.Box([self._question, self._yes, self._no])
        self._asking.add_class("as-question")
        self._asking.layout.display = "none"
        self._said = ipywidgets.HTML()
        self._said.add_class("as-words")
        buttons = [self._pause, self._retry, self._load, self._clean, self._cancel]
        row = ipywidgets.Box([*buttons, self._said])
        row.add_class("as-buttons")
        self.box = ipywidgets.VBox([row, self._asking])

    def update(self, figures: RunFigures) -> None:
        """Show what can be done now, and what was said last."""
        is_over = figures.is_over or figures.status == "not yet started"
        selected = self._selected()
        n_failed = figures.counts.get("failed", 0) + figures.counts.get("delayed", 0)
        n_failed += figures.counts.get("cancelled", 0)
        put(self._pause, "description", "Resume" if figures.is_paused else "Pause")
        put(self._pause, "disabled", is_over or self._desk.is_busy("pause"))
        put(self._retry, "description", "Retry selected" if selected else "Retry failed")
        cannot_retry = not (n_failed or selected) or self._desk.is_busy("retry")
        put(self._retry, "disabled", cannot_retry)
        put(self._cancel, "description", "Cancel selected ..." if selected else "Cancel ...")
        put(self._cancel, "disabled", is_over or self._desk.is_busy("cancel"))
        put(self._clean, "disabled", not figures.is_over or self._desk.is_busy("clean"))
        put(self._load, "disabled", self._desk.is_busy("load"))
        self._ask(figures, is_over=is_over)
        text, is_error = self._desk.said
        kind = "as-said as-wrong" if is_error else "as-said"
        said = f'<div class="as-root"><p class="{kind}" role="status">{escape(text)}</p></div>'
        put(self._said, "value", said if text else "")

    def _ask(self, figures: RunFigures, *, is_over: bool) -> None:
        if is_over:
            self._is_asking = False  # and else nothing: a click may come between two steps here
        if self._is_asking:
            question, yes = actions.question_before_cancelling(figures, self._asked_about)
            words = f'<span class="as-root" role="alert">{escape(question)}</span>'
            put(self._question, "value", words)
            put(self._yes, "description", yes)
        put(self._asking.layout, "display", None if self._is_asking else "none")

    # Clicks: in any thread.

    def _click_pause(self) -> None:
        self._desk.do("pause", actions.pause_or_resume(self._run))

    def _click_retry(self) -> None:
        self._desk.do("retry", actions.retry(self._run, self._selected() or None))

    def _click_load(self) -> None:
        self._desk.do("load", actions.load_learners(self._run))

    def _click_clean(self) -> None:
        self._desk.do("clean", actions.clean_up(self._run))

    def _click_cancel(self) -> None:
        self._asked_about, self._is_asking = list(self._selected()), True
        self._nudge()

    def _click_yes(self) -> None:
        if not self._is_asking:
            return
        self._is_asking = False
        learners = self._asked_about
        if learners:
            self._desk.do("cancel", actions.cancel_learners(self._run, learners))
        else:
            self._desk.do("cancel", actions.cancel_run(self._run))

    def _click_no(self) -> None:
        self._is_asking = False
        self._desk.say("Nothing was cancelled.")


def put(widget: Any, trait: str, value: object) -> None:
    """Set a trait if that changes it: nothing travels otherwise."""
    if getattr(widget, trait) != value:
        setattr(widget, trait, value)
