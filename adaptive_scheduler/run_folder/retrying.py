"""Which learners get new tries, and what comes with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from adaptive_scheduler.run_folder.models import (
    CANCELLED,
    DELAYED,
    DONE,
    FAILED,
    RUNNING,
    LearnerEntry,
)

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.state import RunState


def to_retry(state: RunState, wanted: Iterable[int] | None = None) -> list[int]:
    """Return the learners that somebody who calls for a retry makes ready again.

    Those given up, cancelled, or in a pause after a failure; with these, what
    they depend on, and what was given up only because it depends on them.

    Parameters
    ----------
    state
        What is believed about learners.
    wanted
        The learners that are meant; all of them if not given.
    """
    meant = range(len(state.learners)) if wanted is None else wanted
    chosen: set[int] = set()
    stack = [i for i in meant if _can_be_retried(state.learners[i])]
    while stack:
        if (index := stack.pop()) not in chosen:
            chosen.add(index)
            stack += filter(state.is_given_up, state.dependencies.get(index, ()))
    stack = list(chosen)
    while stack:
        for index in state.dependents(stack.pop()):
            if index not in chosen and _has_only_waited(state, index, chosen):
                chosen.add(index)
                stack.append(index)
    return sorted(chosen)


def to_retry_at_start(state: RunState) -> list[int]:
    """Return the learners that a manager makes ready again when it starts.

    Who starts a run again has mended what made learners fail. What was
    cancelled stays so, and what depends on it.
    """
    chosen = {entry.index for entry in state.learners if _has_failed(entry)}
    while blocked := {i for i in chosen if _needs_another(state, i, chosen)}:
        chosen -= blocked
    return sorted(chosen)


def _can_be_retried(entry: LearnerEntry) -> bool:
    return entry.is_cancelled or entry.state in (FAILED, CANCELLED, DELAYED)


def _has_failed(entry: LearnerEntry) -> bool:
    is_idle = entry.state not in (RUNNING, DONE, CANCELLED)
    return entry.state == FAILED or (entry.fails > 0 and is_idle)


def _needs_another(state: RunState, index: int, chosen: set[int]) -> bool:
    """Whether a learner depends on one that stays given up."""
    needed = state.dependencies.get(index, ())
    return any(state.is_given_up(other) and other not in chosen for other in needed)


def _has_only_waited(state: RunState, index: int, chosen: set[int]) -> bool:
    """Whether a learner was given up only because of others, which are not any more."""
    entry = state.learners[index]
    was_blocked = state.is_given_up(index) and state.is_blocked(index) and not entry.is_cancelled
    return was_blocked and not _needs_another(state, index, chosen)
