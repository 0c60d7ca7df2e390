"""Learners and their states: which may be run, which wait, and for what.

========= ============================================================
learner   meaning
========= ============================================================
waiting   a learner that it depends on isn't done
ready     a job may have it
delayed   ready, after a pause that followed a failure
running   a job has it
done      its goal is reached
failed    given up: it failed too often, or depends on one that did
cancelled the user wants it left alone, or one that it depends on
========= ============================================================
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence

from adaptive_scheduler.run_folder.models import (
    CANCELLED,
    DELAYED,
    DONE,
    FAILED,
    READY,
    RUNNING,
    WAITING,
    LearnerEntry,
)

#: Seconds before a learner that has failed twice in a row is tried again; this
#: doubles with each further failure. The first failure costs no pause.
_FIRST_PAUSE = 1.0
#: Longest pause between two tries, in seconds.
_LONGEST_PAUSE = 300.0


def pause_after(fails: int) -> float:
    """Return how long to wait, in seconds, after the `fails`-th failure in a row."""
    return 0.0 if fails <= 1 else min(_FIRST_PAUSE * 2.0 ** min(fails - 2, 60), _LONGEST_PAUSE)


class LearnerTable:
    """The learners of one run.

    Parameters
    ----------
    groups
        For each learner a key; jobs take learners of their own group.
    dependencies
        For some learners, the learners that must be done before.
    max_fails
        Failures in a row after which a learner is given up.
    """

    def __init__(
        self,
        groups: Sequence[Hashable],
        *,
        dependencies: Mapping[int, Sequence[int]] | None = None,
        max_fails: int = 50,
    ) -> None:
        self.max_fails = max_fails
        self.groups = groups
        self.dependencies = {i: tuple(set(d)) for i, d in (dependencies or {}).items() if d}
        self.learners = [LearnerEntry(i) for i in range(len(groups))]
        self.counts: Counter[str] = Counter({READY: len(groups)})
        # Finding the first key of a dict takes the longer the more were taken away before it.
        self._ready: dict[Hashable, OrderedDict[int, None]] = {}
        self._delayed: list[tuple[float, int]] = []
        self._dependents: dict[int, list[int]] = {}
        self._n_missing = {i: len(needed) for i, needed in self.dependencies.items()}
        self._watchers: list[set[int]] = []
        for index, group in enumerate(groups):
            self._ready.setdefault(group, OrderedDict())[index] = None
        for index, needed in self.dependencies.items():
            for other in needed:
                self._dependents.setdefault(other, []).append(index)
            self._move(self.learners[index], WAITING)

    # Questions.

    @property
    def is_complete(self) -> bool:
        """Whether every learner is done, given up or cancelled."""
        over = self.counts[DONE] + self.counts[FAILED] + self.counts[CANCELLED]
        return over == len(self.learners)

    @property
    def n_unscheduled(self) -> int:
        """How many learners no job has, and that are neither done nor given up."""
        return self.counts[WAITING] + self.counts[READY] + self.counts[DELAYED]

    def ready_groups(self) -> Iterator[tuple[Hashable, Collection[int]]]:
        """Yield the groups that have ready learners, with these in the order to take them."""
        return ((group, ready) for group, ready in self._ready.items() if ready)

    def next_ready(self, number: int, had_before: int | None = None) -> int | None:
        """Return the learner that job `number` takes next.

        The one that it `had_before` it was put back into the queue, else its own,
        else the first of its group.
        """
        ready = self._ready.get(self.groups[number]) if number < len(self.groups) else None
        if not ready:
            return None
        preferred = (index for index in (had_before, number) if index in ready)
        return next(preferred, next(iter(ready)))

    def is_given_up(self, index: int) -> bool:
        """Whether a learner will not be run, as things are."""
        return self.learners[index].state in (FAILED, CANCELLED)

    def is_blocked(self, index: int) -> bool:
        """Whether a learner depends on one that isn't done."""
        return bool(self._n_missing.get(index))

    def dependents(self, index: int) -> Sequence[int]:
        """Return the learners that depend on this one."""
        return self._dependents.get(index, ())

    # Pauses.

    def next_pause_end(self) -> float | None:
        """Return when the next learner's pause ends, in seconds since the epoch."""
        return self._delayed[0][0] if self._delayed else None

    def end_pauses(self, now: float) -> None:
        """Make learners ready whose pause is over. This needs no record: time does it again."""
        while self._delayed and self._delayed[0][0] <= now:
            _, index = heapq.heappop(self._delayed)
            entry = self.learners[index]
            if entry.state == DELAYED and entry.ready_at <= now:
                self._move(entry, READY)

    # Watching.

    def watch(self) -> set[int]:
        """Return a set to which the indices of learners are added when they change."""
        changed: set[int] = set()
        self._watchers.append(changed)
        return changed

    def unwatch(self, changed: set[int]) -> None:
        """Let a set of `watch` be."""
        self._watchers = [watcher for watcher in self._watchers if watcher is not changed]

    def take_watchers(self, other: LearnerTable) -> None:
        """Let those who watch `other` watch this state instead; everything is new to them."""
        self._watchers, other._watchers = other._watchers, []
        for index in range(len(self.learners)):
            self.note_change(index)

    def note_change(self, index: int) -> None:
        """Tell those who watch that something about a learner is new."""
        for changed in self._watchers:
            changed.add(index)

    # Changes, each of them by a record.

    def limit_fails(self, max_fails: int) -> None:
        """Give learners up that fail `max_fails` times in a row from now on."""
        self.max_fails = max_fails

    def _finish(self, entry: LearnerEntry) -> None:
        """Make a learner done, and ready what has waited for it last."""
        if entry.state == DONE:
            return
        self._move(entry, DONE)
        for index in self._dependents.get(entry.index, ()):
            self._n_missing[index] -= 1
            other = self.learners[index]
            if other.state == WAITING and not self._n_missing[index]:
                self._move(other, READY)

    def _reopened(self, index: int) -> None:
        """Undo `_finish`; jobs that have what depends on it go on."""
        entry = self.learners[index]
        if entry.state != DONE:
            return
        for other in map(self.learners.__getitem__, self.dependents(index)):
            self._n_missing[other.index] += 1
            if other.state in (READY, DELAYED):
                self._move(other, WAITING)
        self._put_back(entry)

    def _put_back(self, entry: LearnerEntry) -> None:
        """Give a learner that no job has any more the state that it has then."""
        if entry.is_cancelled:
            self._give_up(entry, CANCELLED)
        else:
            self._move(entry, WAITING if self.is_blocked(entry.index) else READY)

    def _fail(self, entry: LearnerEntry, now: float, error: str, traceback: str) -> None:
        entry.fails += 1
        entry.ended, entry.error, entry.traceback = now, error, traceback
        pause = pause_after(entry.fails)
        if entry.fails >= self.max_fails and not entry.is_cancelled:
            self._give_up(entry, FAILED)
        elif pause and not entry.is_cancelled and not self.is_blocked(entry.index):
            entry.ready_at = now + pause
            heapq.heappush(self._delayed, (entry.ready_at, entry.index))
            self._move(entry, DELAYED)
        else:
            self._put_back(entry)

    def _give_up(self, entry: LearnerEntry, state: str) -> None:
        """Give a learner up, and all that depend on it."""
        self._move(entry, state)
        given_up = [entry.index]
        while given_up:
            needed = given_up.pop()
            for other in map(self.learners.__getitem__, self.dependents(needed)):
                if other.state == WAITING:
                    what = "failed" if state == FAILED else "was cancelled"
                    other.error = f"Learner {needed}, on which it depends, {what}."
                    self._move(other, state)
                    given_up.append(other.index)

    def _cancelled(self, index: int) -> None:
        entry = self.learners[index]
        if entry.state == DONE or entry.is_cancelled:
            return
        entry.is_cancelled = True
        self.note_change(index)
        if entry.state != RUNNING:  # else when its job has saved
            self._give_up(entry, CANCELLED)

    def _retried(self, index: int) -> None:
        entry = self.learners[index]
        entry.is_cancelled = False
        if entry.state not in (RUNNING, DONE):
            entry.fails = 0
            self._put_back(entry)

    def _move(self, entry: LearnerEntry, state: str) -> None:
        """Change a learner's state; every change goes through here."""
        self.counts[entry.state] -= 1
        self.counts[state] += 1
        self.note_change(entry.index)
        group = self.groups[entry.index]
        if entry.state == READY:
            self._ready[group].pop(entry.index, None)
        if state == READY:
            self._ready[group][entry.index] = None
        entry.state = state
