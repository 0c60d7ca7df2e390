"""What pause, resume, retry and cancel do to a run: the one rule book.

The manager keeps to it, and so does a shell that acts while nobody manages the run. Who calls
appends the records to the journal. Cancelling a whole run is its end, and no record of these:
see `Lifecycle` and `server_support.remote`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from adaptive_scheduler._common.formatting import counted
from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.models import CANCELLED, DELAYED, DONE, FAILED, READY, WAITING

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
            chosen = (i for i in learners or () if _can_be_cancelled(state, i))
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


def to_retry(state: RunState, wanted: Iterable[int] | None = None) -> list[int]:
    """Return the learners that somebody who calls for a retry makes ready again.

    Those given up, cancelled, or in a pause after a failure; with these, what
    they depend on, and what was given up only because it depends on them.

    Parameters
    ----------
    state
        What the journal says.
    wanted
        The learners that are meant; all of them if not given.
    """
    learners = state.learners
    meant = range(len(learners)) if wanted is None else wanted
    chosen: set[int] = set()
    stack = [i for i in meant if _can_be_retried(state, i)]
    while stack:
        if (index := stack.pop()) not in chosen:
            chosen.add(index)
            stack += filter(learners.is_given_up, learners.dependencies.get(index, ()))
    stack = list(chosen)
    while stack:
        for index in learners.dependents(stack.pop()):
            if index not in chosen and _has_only_waited(state, index, chosen):
                chosen.add(index)
                stack.append(index)
    return sorted(chosen)


def to_retry_at_start(state: RunState) -> list[int]:
    """Return the learners that a manager makes ready again when it starts.

    Who starts a run again has removed what made learners fail. What was
    cancelled stays so, and what depends on it.
    """
    learners = state.learners
    idle = (i for kind in (WAITING, READY, DELAYED) for i in learners.in_state(kind))
    chosen = {*learners.in_state(FAILED), *(i for i in idle if learners.fails_of(i))}
    while blocked := {i for i in chosen if _needs_another(state, i, chosen)}:
        chosen -= blocked
    return sorted(chosen)


def _can_be_cancelled(state: RunState, index: int) -> bool:
    return state.learners.state_of(index) != DONE and index not in state.learners.cancelled


def _can_be_retried(state: RunState, index: int) -> bool:
    learners = state.learners
    return index in learners.cancelled or learners.state_of(index) in (FAILED, CANCELLED, DELAYED)


def _needs_another(state: RunState, index: int, chosen: set[int]) -> bool:
    """Whether a learner depends on one that stays given up."""
    needed = state.learners.dependencies.get(index, ())
    return any(state.learners.is_given_up(other) and other not in chosen for other in needed)


def _has_only_waited(state: RunState, index: int, chosen: set[int]) -> bool:
    """Whether a learner was given up only because of others, which are not any more."""
    learners = state.learners
    was_blocked = learners.is_given_up(index) and learners.is_blocked(index)
    is_meant = index in learners.cancelled
    return was_blocked and not is_meant and not _needs_another(state, index, chosen)
