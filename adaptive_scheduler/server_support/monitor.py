"""Counts what jobs report, so that the state of a run can be told at any time at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.learners.goals import Goal, n_possible
from adaptive_scheduler.run_folder.history import History, Sample, read_history
from adaptive_scheduler.run_folder.models import DONE
from adaptive_scheduler.server_support.base_manager import BaseManager
from adaptive_scheduler.server_support.learner_figures import LearnerFigures
from adaptive_scheduler.server_support.view import ChangeLog

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.database_manager import DatabaseManager

log = logging.getLogger(__name__)

#: Seconds between two samples at most, so that core-hours are right.
_LONGEST_PAUSE = 10.0
#: Seconds between two times that the history is written to disk.
_WRITE_INTERVAL = 30.0


class Monitor(BaseManager):
    """Counts along with a run, and keeps its history.

    All of it happens on the event loop, and costs as much as has changed.

    Parameters
    ----------
    database_manager
        Whose learners.
    goal
        What `smart_goal` has returned.
    cores_of
        Returns the cores of the job with a number; it is called in a thread,
        once for each group of equal jobs.

    Attributes
    ----------
    figures
        What jobs have told, as of the last `catch_up`.
    changes
        Which learners have changed since when.
    core_seconds
        Cores of all jobs so far, times the seconds that they had them.
    history
        The run over time.
    """

    def __init__(
        self,
        database_manager: DatabaseManager,
        goal: Callable[[Any], bool],
        cores_of: Callable[[int], int],
    ) -> None:
        super().__init__()
        self._database = database_manager
        self._cores_of = cores_of
        self._cores: dict[Hashable, int] = {}
        learners, is_known = database_manager.learners, isinstance(goal, Goal)
        self.figures = LearnerFigures(
            len(learners), goal, lambda i: n_possible(learners[i]) if is_known else None
        )
        self.changes = ChangeLog()
        self._changed = database_manager.record.watched.watch()
        self._changed.update(range(len(learners)))
        self.history = History()
        self.core_seconds = 0.0
        self._counted_until = 0.0

    def look(self) -> None:
        """Count what the record says of a run that another process manages. Blocks."""
        self._setup()

    def _setup(self) -> None:
        self.history = read_history(self._database.run_folder.history)
        if self.history.samples:
            last = self.history.samples[-1]
            self.core_seconds, self._counted_until = last.core_seconds, last.time

    async def _manage(self) -> None:
        written = time.time()
        while True:
            await self._learn_cores()
            self.sample()
            if time.time() - written >= _WRITE_INTERVAL:
                written = time.time()
                await self._write()
            await asyncio.sleep(min(self.history.interval, _LONGEST_PAUSE))

    async def stop(self) -> None:
        """Take a last sample, write everything down and end: call it on the event loop."""
        if self.task is None or self.task.done():
            return
        self.sample()
        self.task.cancel()
        await self._write()

    async def _write(self) -> None:
        try:
            await asyncio.to_thread(self.history.write, self._database.run_folder.history)
        except OSError as error:
            log.warning("The history of the run can't be written: %s", error)

    async def _learn_cores(self) -> None:
        """Find out what jobs of a kind that is new here have got."""
        groups, state = self._database.groups, self._database.state
        new = {groups[job.number]: job.number for job in state.jobs.values()}
        for group, number in new.items():
            if group not in self._cores:
                self._cores[group] = await asyncio.to_thread(self._cores_of, number)

    # What is counted.

    def sample(self) -> None:
        """Add the run as it is now to its history."""
        now = time.time()
        self.catch_up(now)
        state = self._database.state
        n_running = len(self._database.reconciler.started())
        self.history.add(
            Sample(
                now,
                self.figures.npoints,
                self.figures.loss,
                state.learners.counts[DONE],
                n_running,
                len(state.jobs) - n_running,
                self.core_seconds,
            )
        )

    def catch_up(self, now: float) -> None:
        """Count what is new: call it on the event loop.

        Parameters
        ----------
        now
            In seconds since the epoch.
        """
        self._count_cores(now)
        if not self._changed:
            return
        learners, handler = self._database.state.learners, self._database.handler
        for index in self._changed:
            told, seen = handler.figures.get(index, {}), handler.last_seen.get(index)
            self.figures.note(learners[index], told, seen)
        self.changes.note(self._changed)
        self._changed.clear()

    def _count_cores(self, now: float) -> None:
        """Add what jobs have used since the last time, or since they started."""
        for job in self._database.state.jobs.values():
            if (started := self._database.reconciler.started_at(job)) is not None:
                cores = self._cores.get(self._database.groups[job.number], 1)
                since = max(started, self._counted_until)
                self.core_seconds += cores * max(0.0, now - since)
        self._counted_until = now
