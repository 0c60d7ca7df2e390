"""Learners and their states: which may be run, which wait, and for what.

========= ============================================================
state     meaning
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
from array import array
from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, overload

from adaptive_scheduler.run_folder.models import (
    CANCELLED,
    DELAYED,
    DONE,
    FAILED,
    LEARNER_STATES,
    READY,
    RUNNING,
    WAITING,
    LearnerEntry,
    LearnerHistory,
)
from adaptive_scheduler.run_folder.ready_queue import ReadyQueue

if TYPE_CHECKING:
    from adaptive_scheduler.protocol.messages import JobIdentity

#: Seconds before a learner that has failed twice in a row is tried again; this
#: doubles with each further failure. The first failure costs no pause.
_FIRST_PAUSE = 1.0
#: Longest pause between two tries, in seconds.
_LONGEST_PAUSE = 300.0
#: The byte that stands for each state in a table.
_CODES = {state: code for code, state in enumerate(LEARNER_STATES)}
_NO_HISTORY = LearnerHistory()
_READY, _RUNNING, _DONE = _CODES[READY], _CODES[RUNNING], _CODES[DONE]


def pause_after(fails: int) -> float:
    """Return how long to wait, in seconds, after the `fails`-th failure in a row."""
    return 0.0 if fails <= 1 else min(_FIRST_PAUSE * 2.0 ** min(fails - 2, 60), _LONGEST_PAUSE)


class LearnerTable(Sequence[LearnerEntry]):
    """The learners of one run, as a sequence of entries that are made when somebody looks.

    A learner takes some bytes until something happens to it.

    Parameters
    ----------
    groups
        For each learner a key; jobs take learners of their own group.
    dependencies
        For some learners, the learners that must be done before.
    max_fails
        Failures in a row after which a learner is given up.
    keep_history
        Whether to keep what decides nothing: times, texts, and who had a learner last.
    """

    def __init__(
        self,
        groups: Sequence[Hashable],
        dependencies: Mapping[int, Sequence[int]],
        *,
        max_fails: int,
        keep_history: bool,
    ) -> None:
        n_learners = len(groups)
        self.groups = groups
        self.dependencies = dependencies
        self.max_fails = max_fails
        self._states = bytearray([_READY]) * n_learners
        self._counts = [0] * len(LEARNER_STATES)
        self._counts[_READY] = n_learners
        self._attempts = array("q", bytes(8 * n_learners))
        self._fails = array("L", bytes(array("L").itemsize * n_learners))
        self._cancelled: set[int] = set()
        #: The jobs that have or had a learner last.
        self._holders: dict[int, JobIdentity] = {}
        self._ready_at: dict[int, float] = {}
        self._delayed: list[tuple[float, int]] = []
        self._keep_history = keep_history
        self._histories: dict[int, LearnerHistory] = {}
        self._ready = _ready_queues(groups)
        self._dependents: dict[int, list[int]] = {}
        self._n_missing = {i: len(needed) for i, needed in dependencies.items()}
        self._touched: list[int] = []
        for index, needed in dependencies.items():
            for other in needed:
                self._dependents.setdefault(other, []).append(index)
            self._move(index, WAITING)
        self._touched.clear()  # nothing has changed yet

    # Questions.

    def __len__(self) -> int:
        return len(self._states)

    @overload
    def __getitem__(self, index: int) -> LearnerEntry: ...
    @overload
    def __getitem__(self, index: slice) -> list[LearnerEntry]: ...
    def __getitem__(self, index: int | slice) -> LearnerEntry | list[LearnerEntry]:
        if isinstance(index, slice):
            return [self._entry(i) for i in range(*index.indices(len(self)))]
        return self._entry(range(len(self))[index])

    def __iter__(self) -> Iterator[LearnerEntry]:
        return map(self._entry, range(len(self)))

    def _entry(self, index: int) -> LearnerEntry:
        known = self._histories.get(index, _NO_HISTORY)
        return LearnerEntry(
            index,
            LEARNER_STATES[self._states[index]],
            self._attempts[index],
            self._fails[index],
            index in self._cancelled,
            self._ready_at.get(index, 0.0),
            self._holders.get(index),
            known.job_name,
            known.log_fname,
            known.host,
            known.started,
            known.ended,
            known.error,
            known.traceback,
            known.npoints,
            known.last_end,
            known.trouble,
        )

    @property
    def counts(self) -> Counter[str]:
        """How many learners are in each state."""
        return Counter(dict(zip(LEARNER_STATES, self._counts, strict=True)))

    def is_running(self, index: int) -> bool:
        """Whether a job has a learner."""
        return self._states[index] == _RUNNING

    def state_of(self, index: int) -> str:
        """Return the state of a learner."""
        return LEARNER_STATES[self._states[index]]

    def attempt_of(self, index: int) -> int:
        """Return the number of the last attempt at a learner; 0 before the first."""
        return self._attempts[index]

    def fails_of(self, index: int) -> int:
        """Return how often a learner has failed in a row."""
        return self._fails[index]

    def holder_of(self, index: int) -> JobIdentity | None:
        """Return the job that has a learner, or had it last."""
        return self._holders.get(index)

    def in_state(self, state: str) -> Iterator[int]:
        """Yield the learners that are in a state."""
        code = _CODES[state]
        index = self._states.find(code)
        while index >= 0:
            yield index
            index = self._states.find(code, index + 1)

    @property
    def cancelled(self) -> Collection[int]:
        """The learners that the user wants to be left alone."""
        return self._cancelled

    @property
    def is_complete(self) -> bool:
        """Whether every learner is done, given up or cancelled."""
        counts = self.counts
        return counts[DONE] + counts[FAILED] + counts[CANCELLED] == len(self)

    @property
    def n_unscheduled(self) -> int:
        """How many learners no job has, and that are neither done nor given up."""
        counts = self.counts
        return counts[WAITING] + counts[READY] + counts[DELAYED]

    def ready_groups(self) -> Iterator[tuple[Hashable, Collection[int]]]:
        """Yield the groups that have ready learners, with these in the order to take them."""
        return ((group, ready) for group, ready in self._ready.items() if ready)

    def next_ready(self, number: int, had_before: int | None = None) -> int | None:
        """Return the learner that job `number` takes next.

        The one that it `had_before` it was put back into the queue, else its own,
        else the first of its group.
        """
        ready = self._ready.get(self.groups[number]) if number < len(self) else None
        if not ready:
            return None
        preferred = (index for index in (had_before, number) if index in ready)
        return next(preferred, next(iter(ready)))

    def is_given_up(self, index: int) -> bool:
        """Whether a learner will not be run, as things are."""
        return self.state_of(index) in (FAILED, CANCELLED)

    def is_blocked(self, index: int) -> bool:
        """Whether a learner depends on one that isn't done."""
        return bool(self._n_missing.get(index))

    def dependents(self, index: int) -> Sequence[int]:
        """Return the learners that depend on this one."""
        return self._dependents.get(index, ())

    def take_touched(self) -> Collection[int]:
        """Return the learners that have changed since this was called last."""
        if not self._touched:
            return ()
        touched, self._touched = self._touched, []
        return touched

    # Limits and pauses.

    def limit_fails(self, max_fails: int) -> None:
        """Give learners up that fail `max_fails` times in a row from now on."""
        self.max_fails = max_fails

    def next_pause_end(self) -> float | None:
        """Return when the next learner's pause ends, in seconds since the epoch."""
        return self._delayed[0][0] if self._delayed else None

    def end_pauses(self, now: float) -> None:
        """Make learners ready whose pause is over."""
        while self._delayed and self._delayed[0][0] <= now:
            _, index = heapq.heappop(self._delayed)
            if self.state_of(index) == DELAYED and self._ready_at[index] <= now:
                self._move(index, READY)

    # Changes, each of them by a record.

    def start(self, index: int, number: int, job: JobIdentity) -> None:
        """Have a job hold a learner."""
        self._attempts[index] = number
        self._holders[index] = job
        self._move(index, RUNNING)

    def finish(self, index: int) -> None:
        """Mark a learner done, and make those ready for which it was the last dependency."""
        self._fails[index] = 0
        self._cancelled.discard(index)
        self._touched.append(index)
        if self._states[index] == _DONE:
            return
        self._move(index, DONE)
        for other in self.dependents(index):
            self._n_missing[other] -= 1
            if self.state_of(other) == WAITING and not self._n_missing[other]:
                self._move(other, READY)

    def reopen(self, index: int) -> None:
        """Undo `finish`; jobs that have what depends on it go on."""
        if self.state_of(index) != DONE:
            return
        for other in self.dependents(index):
            self._n_missing[other] += 1
            if self.state_of(other) in (READY, DELAYED):
                self._move(other, WAITING)
        self.put_back(index)

    def put_back(self, index: int) -> None:
        """Make a learner that no job has any more ready, waiting or cancelled."""
        if index in self._cancelled:
            self._give_up(index, CANCELLED)
        else:
            self._move(index, WAITING if self.is_blocked(index) else READY)

    def fail(self, index: int, now: float) -> None:
        """Count a failure of a learner that no job has any more."""
        self._fails[index] += 1
        fails = self._fails[index]
        pause = pause_after(fails)
        is_cancelled = index in self._cancelled
        if fails >= self.max_fails and not is_cancelled:
            self._give_up(index, FAILED)
        elif pause and not is_cancelled and not self.is_blocked(index):
            self._ready_at[index] = now + pause
            heapq.heappush(self._delayed, (now + pause, index))
            self._move(index, DELAYED)
        else:
            self.put_back(index)

    def cancel(self, index: int) -> None:
        """Leave a learner alone, at once or when its job has saved."""
        if self.state_of(index) == DONE or index in self._cancelled:
            return
        self._cancelled.add(index)
        self._touched.append(index)
        if self.state_of(index) != RUNNING:
            self._give_up(index, CANCELLED)

    def retry(self, index: int) -> None:
        """Give a learner new tries."""
        if index in self._cancelled:
            self._cancelled.discard(index)
            self._touched.append(index)
        if self.state_of(index) not in (RUNNING, DONE):
            self._fails[index] = 0
            self.put_back(index)

    def restore(self, index: int, state: str, *, attempt: int, fails: int, cancelled: bool) -> None:
        """Restore a learner as it was at a compaction."""
        self._attempts[index], self._fails[index] = attempt, fails
        if cancelled:
            self._cancelled.add(index)
        if state == DONE:
            self.finish(index)
        else:  # a pause need not outlive a compaction
            self._move(index, READY if state == DELAYED else state)

    def hold(self, index: int, job: JobIdentity) -> None:
        """Set which job had a learner last."""
        self._holders[index] = job

    def forget_holder(self, index: int, job_id: str) -> None:
        """Forget that a job had a learner last, if it was this one."""
        holder = self._holders.get(index)
        if holder is not None and holder.job_id == job_id:
            del self._holders[index]

    def note(self, index: int, **facts: object) -> None:
        """Keep facts about a learner that decide nothing, and mark it as changed."""
        self._touched.append(index)
        if not self._keep_history:
            return
        history = self._histories.get(index)
        if history is None:
            history = self._histories[index] = LearnerHistory()
        for name, fact in facts.items():
            setattr(history, name, fact)

    def _give_up(self, index: int, state: str) -> None:
        """Give a learner up, and all that depend on it."""
        self._move(index, state)
        given_up = [index]
        what = "failed" if state == FAILED else "was cancelled"
        while given_up:
            needed = given_up.pop()
            for other in self.dependents(needed):
                if self.state_of(other) == WAITING:
                    self._move(other, state)
                    self.note(other, error=f"Learner {needed}, on which it depends, {what}.")
                    given_up.append(other)

    def _move(self, index: int, state: str) -> None:
        """Change a learner's state; every change goes through here."""
        before, after = self._states[index], _CODES[state]
        self._counts[before] -= 1
        self._counts[after] += 1
        self._states[index] = after
        self._touched.append(index)
        if before == _READY:
            self._ready[self.groups[index]].remove(index)
        if after == _READY:
            self._ready[self.groups[index]].add(index)


def _ready_queues(groups: Sequence[Hashable]) -> dict[Hashable, ReadyQueue]:
    """Return for each group its learners, all of them ready."""
    everybody = range(len(groups))
    if len(set(groups)) == 1:
        return {groups[0]: ReadyQueue(everybody, everybody)}
    members: dict[Hashable, array[int]] = {}
    places = array("L")
    for index, group in enumerate(groups):
        found = members.setdefault(group, array("L"))
        places.append(len(found))
        found.append(index)
    return {group: ReadyQueue(found, places) for group, found in members.items()}
