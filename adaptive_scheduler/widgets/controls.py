"""The buttons of the dashboard: what they do and say, and what is asked before."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import ipywidgets

from adaptive_scheduler._common.formatting import counted
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.widgets.components import button, put

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.info import RunInfo
    from adaptive_scheduler.widgets.dashboard import RunData, ShownRun

log = logging.getLogger(__name__)

#: How many learners a question names.
_NAMED = 5


@dataclass(frozen=True)
class Action:
    """Something that a user wants done.

    Attributes
    ----------
    begins
        What is said at once.
    does
        Does it, in a thread of its own, and returns what to say then.
    """

    begins: str
    does: Callable[[], str]


class ActionRunner:
    """Does one thing of a kind at a time, in threads of its own.

    Parameters
    ----------
    on_news
        Called when there is something new to say.
    """

    def __init__(self, on_news: Callable[[], None]) -> None:
        self._on_news = on_news
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        #: What was said last, and whether it was an error.
        self.said: tuple[str, bool] = ("", False)

    def do(self, kind: str, action: Action) -> None:
        """Begin, and return at once; nothing is done that is being done already."""
        with self._lock:
            if kind in self._busy:
                return
            self._busy.add(kind)
        self.say(action.begins)
        threading.Thread(
            target=self._do, args=(kind, action), name="adaptive-scheduler-action", daemon=True
        ).start()

    def is_busy(self, kind: str) -> bool:
        """Whether something of this kind is being done."""
        return kind in self._busy

    def say(self, text: str, *, is_error: bool = False) -> None:
        """Show a sentence."""
        self.said = (text, is_error)
        self._on_news()

    def _do(self, kind: str, action: Action) -> None:
        try:
            text, is_error = action.does(), False
        except AdaptiveSchedulerError as error:
            text, is_error = str(error), True
        except Exception as error:  # whoever has clicked must be told, whatever it is
            log.exception("%s failed", kind)
            text, is_error = f"That failed: {error!r}", True
        with self._lock:
            self._busy.discard(kind)
        self.say(text, is_error=is_error)


def cancel_run(run: ShownRun) -> Action:
    """Cancel the whole run."""
    return Action("Cancelling the run; its jobs save first ...", lambda: run.view.command("cancel"))


def cancel_learners(run: ShownRun, learners: Sequence[int]) -> Action:
    """Cancel some learners."""
    begins = f"Cancelling {counted(len(learners), 'learner')} ..."
    return Action(begins, lambda: run.view.command("cancel", learners))


def retry(run: ShownRun, learners: Sequence[int] | None) -> Action:
    """Try learners again that have failed."""
    return Action("Looking for learners to retry ...", lambda: run.view.command("retry", learners))


def pause_or_resume(run: ShownRun) -> Action:
    """Submit no new jobs, or submit them again."""

    def does() -> str:
        return run.view.command("resume" if run.view.info().is_paused else "pause")

    return Action("One moment ...", does)


def clean_up(run: ShownRun, data: RunData) -> Action:
    """Put logs and scripts away."""

    def does() -> str:
        data.cleanup()
        where = run.view.folder.old_logs
        return f"Logs and scripts are {'deleted' if where is None else f'in {where}'}."

    return Action("Putting logs and scripts away ...", does)


def load_learners(data: RunData) -> Action:
    """Load what the jobs have saved."""

    def does() -> str:
        data.load_learners()
        npoints = sum(int(learner.npoints) for learner in data.learners)
        return f"Loaded {npoints:,} points into {counted(len(data.learners), 'learner')}."

    return Action("Loading what the jobs have saved ...", does)


def question_before_cancelling(info: RunInfo, selected: Sequence[int]) -> tuple[str, str]:
    """Return what is asked before anything is cancelled, and the words on the button."""
    if selected:
        shown = ", ".join(map(str, selected[:_NAMED]))
        shown += " ..." if len(selected) > _NAMED else ""
        what = counted(len(selected), "selected learner")
        return f"Cancel {what} ({shown})? Their jobs save first.", f"Yes, cancel {what}"
    jobs = info.jobs_running + info.jobs_pending
    question = f"Cancel the whole run and its {counted(jobs, 'job')}? They save first."
    return question, "Yes, cancel the run"


class Controls:
    """The row of buttons, what they ask, and what they say.

    A click only leaves word of what is wanted: it is done on other threads, and
    all that it changes here is written by `update`.

    Parameters
    ----------
    run
        The run that is acted on.
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
        run: ShownRun,
        selected: Callable[[], Sequence[int]],
        nudge: Callable[[], None],
    ) -> None:
        self._run, self._selected, self._nudge = run, selected, nudge
        self._actions = ActionRunner(nudge)
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
        of_data = [] if run.data is None else [self._load, self._clean]
        buttons = [self._pause, self._retry, *of_data, self._cancel]
        row = ipywidgets.Box([*buttons, self._said])
        row.add_class("as-buttons")
        self.box = ipywidgets.VBox([row, self._asking])

    def update(self, info: RunInfo) -> None:
        """Show what can be done now, and what was said last."""
        is_over = info.is_over or info.status == "not yet started"
        selected = self._selected()
        n_failed = info.n_failed + info.n_cancelled + info.counts.get("delayed", 0)
        put(self._pause, "description", "Resume" if info.is_paused else "Pause")
        put(self._pause, "disabled", is_over or self._actions.is_busy("pause"))
        put(self._retry, "description", "Retry selected" if selected else "Retry failed")
        cannot_retry = not (n_failed or selected) or self._actions.is_busy("retry")
        put(self._retry, "disabled", cannot_retry)
        put(self._cancel, "description", "Cancel selected ..." if selected else "Cancel ...")
        put(self._cancel, "disabled", is_over or self._actions.is_busy("cancel"))
        put(self._clean, "disabled", not info.is_over or self._actions.is_busy("clean"))
        put(self._load, "disabled", self._actions.is_busy("load"))
        self._ask(info, is_over=is_over)
        text, is_error = self._actions.said
        kind = "as-said as-wrong" if is_error else "as-said"
        said = f'<div class="as-root"><p class="{kind}" role="status">{escape(text)}</p></div>'
        put(self._said, "value", said if text else "")

    def _ask(self, info: RunInfo, *, is_over: bool) -> None:
        if is_over:
            self._is_asking = False  # and else nothing: a click may come between two steps here
        if self._is_asking:
            question, yes = question_before_cancelling(info, self._asked_about)
            words = f'<span class="as-root" role="alert">{escape(question)}</span>'
            put(self._question, "value", words)
            put(self._yes, "description", yes)
        put(self._asking.layout, "display", None if self._is_asking else "none")

    # Clicks: in any thread.

    def _click_pause(self) -> None:
        self._actions.do("pause", pause_or_resume(self._run))

    def _click_retry(self) -> None:
        self._actions.do("retry", retry(self._run, self._selected() or None))

    def _click_load(self) -> None:
        if self._run.data is not None:
            self._actions.do("load", load_learners(self._run.data))

    def _click_clean(self) -> None:
        if self._run.data is not None:
            self._actions.do("clean", clean_up(self._run, self._run.data))

    def _click_cancel(self) -> None:
        self._asked_about, self._is_asking = list(self._selected()), True
        self._nudge()

    def _click_yes(self) -> None:
        if not self._is_asking:
            return
        self._is_asking = False
        learners = self._asked_about
        if learners:
            self._actions.do("cancel", cancel_learners(self._run, learners))
        else:
            self._actions.do("cancel", cancel_run(self._run))

    def _click_no(self) -> None:
        self._is_asking = False
        self._actions.say("Nothing was cancelled.")
