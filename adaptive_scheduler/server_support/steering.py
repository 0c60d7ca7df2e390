"""What pause, resume, retry and cancel do to a run: the one rule book.

The manager keeps to it, and so does a shell that acts while nobody manages the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from adaptive_scheduler._common.formatting import counted
from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.models import DONE
from adaptive_scheduler.run_folder.retrying import to_retry

if TYPE_CHECKING:
    from adaptive_scheduler.protocol.messages import Command
    from adaptive_scheduler.run_folder.state import RunState


def records_of(
    command: Command, state: RunState, learners: Iterable[int] | None, now: float
) -> list[events.AnyRecord]:
    """Return what a command adds to the journal; nothing if all is so already.

    Parameters
    ----------
    command
        What is to be done. Cancelling all of a run is not: that is its end.
    state
        The run as it is.
    learners
        Which are meant, if not all of them.
    now
        In seconds since the epoch.
    """
    match command:
        case "pause":
            return [] if state.is_paused else [events.Paused(time=now)]
        case "resume":
            return [events.Resumed(time=now)] if state.is_paused else []
        case "retry":
            return [events.Retried(time=now, learner=i) for i in to_retry(state, learners)]
        case "cancel":
            entries = [state.learners[index] for index in learners or ()]
            chosen = [e.index for e in entries if e.state != DONE and not e.is_cancelled]
            return [events.Cancelled(time=now, learner=index) for index in chosen]


def in_words(command: Command, n_learners: int | None = None) -> str:
    """Return what a command has done.

    Parameters
    ----------
    command
        What was done.
    n_learners
        For how many learners; None for the run as a whole.
    """
    learners = "" if n_learners is None else counted(n_learners, "learner")
    match command:
        case "pause":
            return "Paused: no new jobs are submitted; those in the queue and running go on."
        case "resume":
            return "Resumed: jobs are submitted again."
        case "retry":
            return (
                f"{learners} will be tried again." if n_learners else "There is nothing to retry."
            )
        case "cancel" if n_learners is None:
            return "The run is cancelled. Its jobs save and end; start it again to go on with it."
        case "cancel":
            return f"{learners} cancelled; no job runs them until they are retried."


def checked(learners: Iterable[int], n_learners: int, name: str) -> list[int]:
    """Return numbers of learners, each once.

    Raises
    ------
    InvalidInputError
        If there is no such learner.
    """
    indices = list(dict.fromkeys(learners))
    for index in indices:
        if isinstance(index, bool) or index not in range(n_learners):
            raise InvalidInputError(
                f"There is no learner {index!r} in run '{name}': they are numbered from 0 to "
                f"{n_learners - 1}."
            )
    return indices
