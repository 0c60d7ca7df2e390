"""What the buttons of the dashboard do, and what they say about it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adaptive_scheduler._common.formatting import counted
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.server_support.event_loop import event_loop

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.run_manager import RunManager
    from adaptive_scheduler.widgets.figures import RunFigures

log = logging.getLogger(__name__)

#: How many learners a question names.
_NAMED = 5


@dataclass(frozen=True)
class Doing:
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


class Desk:
    """Does one thing of a kind at a time, out of the way of who asks for it.

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

    def do(self, kind: str, doing: Doing) -> None:
        """Begin, and return at once; nothing is done that is being done already."""
        with self._lock:
            if kind in self._busy:
                return
            self._busy.add(kind)
        self.say(doing.begins)
        event_loop.submit(asyncio.to_thread(self._do, kind, doing))

    def is_busy(self, kind: str) -> bool:
        """Whether something of this kind is being done."""
        return kind in self._busy

    def say(self, text: str, *, is_error: bool = False) -> None:
        """Show a sentence."""
        self.said = (text, is_error)
        self._on_news()

    def _do(self, kind: str, doing: Doing) -> None:
        try:
            text, is_error = doing.does(), False
        except AdaptiveSchedulerError as error:
            text, is_error = str(error), True
        except Exception as error:  # whoever has clicked must be told, whatever it is
            log.exception("%s failed", kind)
            text, is_error = f"That failed: {error!r}", True
        with self._lock:
            self._busy.discard(kind)
        self.say(text, is_error=is_error)


def cancel_run(run: RunManager) -> Doing:
    """Cancel the whole run."""

    def does() -> str:
        run.cancel()
        return "The run is cancelled. Its jobs save and end; start it again to go on with it."

    return Doing("Cancelling the run; its jobs save first ...", does)


def cancel_learners(run: RunManager, learners: Sequence[int]) -> Doing:
    """Cancel some learners."""

    def does() -> str:
        n = run.cancel_learners(learners)
        return f"{counted(n, 'learner')} cancelled. They are left alone until they are retried."

    return Doing(f"Cancelling {counted(len(learners), 'learner')} ...", does)


def retry(run: RunManager, learners: Sequence[int] | None) -> Doing:
    """Try learners again that have failed."""

    def does() -> str:
        n = run.retry(learners)
        return (
            f"{counted(n, 'learner')} will be tried again." if n else "There is nothing to retry."
        )

    return Doing("Looking for learners to retry ...", does)


def pause_or_resume(run: RunManager) -> Doing:
    """Stop submitting, or go on with it."""

    def does() -> str:
        if run.is_paused:
            run.resume()
            return "Jobs are submitted again."
        run.pause()
        return "Paused: no new jobs are submitted. Those that there are go on."

    return Doing("One moment ...", does)


def clean_up(run: RunManager) -> Doing:
    """Put logs and scripts away."""

    def does() -> str:
        run.cleanup()
        where = run.run_folder.old_logs
        return f"Logs and scripts are {'deleted' if where is None else f'in {where}'}."

    return Doing("Putting logs and scripts away ...", does)


def load_learners(run: RunManager) -> Doing:
    """Load what the jobs have saved."""

    def does() -> str:
        run.load_learners()
        npoints = sum(int(learner.npoints) for learner in run.learners)
        return f"Loaded {npoints:,} points into {counted(len(run.learners), 'learner')}."

    return Doing("Loading what the jobs have saved ...", does)


def question_before_cancelling(figures: RunFigures, selected: Sequence[int]) -> tuple[str, str]:
    """Return what is asked before anything is cancelled, and the words on the button."""
    if selected:
        shown = ", ".join(map(str, selected[:_NAMED]))
        shown += " ..." if len(selected) > _NAMED else ""
        what = counted(len(selected), "selected learner")
        return f"Cancel {what} ({shown})? Their jobs save first.", f"Yes, cancel {what}"
    jobs = figures.jobs_running + figures.jobs_pending
    question = f"Cancel the whole run and its {counted(jobs, 'job')}? They save first."
    return question, "Yes, cancel the run"
