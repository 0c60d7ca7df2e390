"""A state, and who wants to know what changes in it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from adaptive_scheduler.run_folder import events

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.state import RunState


class WatchedState:
    """A state, and who wants to know which learners change.

    Parameters
    ----------
    state
        What records say.
    """

    def __init__(self, state: RunState) -> None:
        self.state = state
        self._watchers: list[set[int]] = []

    def watch(self) -> set[int]:
        """Return a set to which the indices of learners are added when they change."""
        changed: set[int] = set()
        self._watchers.append(changed)
        return changed

    def apply(self, record: events.AnyRecord) -> None:
        """Apply a record to the state, and tell those who watch."""
        touched = self.state.apply(record)
        if isinstance(record, events.RunBegan):  # the state has been emptied
            touched = range(len(self.state.learners))
        self.touch(touched)

    def end_pauses(self, now: float) -> None:
        """Make learners ready whose pause after a failure is over."""
        self.touch(self.state.end_pauses(now))

    def touch(self, learners: Collection[int]) -> None:
        """Tell those who watch that something about learners is new."""
        if learners:
            for changed in self._watchers:
                changed.update(learners)
