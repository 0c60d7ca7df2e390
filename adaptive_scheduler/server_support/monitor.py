"""Keeps count of what jobs report, so that how a run does can be told at any time at once."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from adaptive_scheduler.learners.goals import Goal, n_possible
from adaptive_scheduler.run_folder.history import History, Sample, read_history
from adaptive_scheduler.run_folder.models import DONE, FAILED, RUNNING, LearnerEntry
from adaptive_scheduler.server_support.base_manager import BaseManager
from adaptive_scheduler.server_support.eta import (
    Report,
    finish_time,
    share_done,
    time_left,
)
from adaptive_scheduler.server_support.event_loop import event_loop

if TYPE_CHECKING:
    from adaptive_scheduler.protocol.messages import Figures
    from adaptive_scheduler.server_support.database_manager import DatabaseManager

log = logging.getLogger(__name__)

#: Seconds between two samples at most, so that core-hours are right.
_LONGEST_PAUSE = 10.0
#: Seconds between two times that the history is written to disk.
_WRITE_INTERVAL = 30.0


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What all jobs together have done and do.

    Attributes
    ----------
    npoints
        Points of all learners, as far as their jobs have told.
    rate
        Points a second, of the learners that jobs have now.
    loss
        Median of the learners' losses; None if none was told.
    cpu, memory
        Means over the jobs: percent of one core, percent of the host's memory.
    core_seconds
        Cores of all jobs so far, times the seconds that they had them.
    time_left
        Until all learners are done; None if nobody can know.
    """

    npoints: int
    rate: float
    loss: float | None
    cpu: float | None
    memory: float | None
    core_seconds: float
    time_left: timedelta | None


class Recorder(BaseManager):
    """Counts along with a run, and keeps the history of it.

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
    """

    def __init__(
        self,
        database_manager: DatabaseManager,
        goal: Callable[[Any], bool],
        cores_of: Callable[[int], int],
    ) -> None:
        super().__init__()
        self._database = database_manager
        self._goal = goal
        self._cores_of = cores_of
        self._cores: dict[Hashable, int] = {}
        self._changed: set[int] = set()
        self._earlier: dict[int, tuple[int, float]] = {}
        self._running: set[int] = set()
        #: Learners that have failed last time, or whose jobs are hindered: few of many.
        self.ailing: set[int] = set()
        self.history = History()
        n_learners = len(database_manager.learners)
        self._npoints = np.zeros(n_learners, np.int64)
        #: Of each learner; nan where nothing is known.
        self._loss, self._rate, self._cpu, self._memory, self._finish, self._duration = np.full(
            (6, n_learners), np.nan
        )
        #: How much of the way to its goal each learner has gone.
        self.shares = np.full(n_learners, np.nan)
        self._core_seconds = 0.0
        self._counted_until = 0.0

    def look(self) -> None:
        """Count what the record says of a run that another process manages. Blocks."""
        self._setup()

    def _setup(self) -> None:
        self.history = read_history(self._database.run_folder.history)
        if self.history.samples:
            last = self.history.samples[-1]
            self._core_seconds, self._counted_until = last.core_seconds, last.time
        event_loop.call(self._begin)

    def _begin(self) -> None:
        state = self._database.state
        self._changed = state.watch()
        self._changed.update(range(len(state.learners)))

    async def _manage(self) -> None:
        written = time.time()
        try:
            while True:
                await self._learn_cores()
                self.sample()
                if time.time() - written >= _WRITE_INTERVAL:
                    written = time.time()
                    await self._write()
                await asyncio.sleep(min(self.history.interval, _LONGEST_PAUSE))
        finally:
            self._database.state.unwatch(self._changed)

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

    def sample(self) -> Tally:
        """Take note of how the run is now, and return it."""
        now = time.time()
        tally = self.tally(now)
        state = self._database.state
        n_running = sum(job.started is not None for job in state.jobs.values())
        self.history.add(
            Sample(
                now,
                tally.npoints,
                tally.loss,
                state.counts[DONE],
                n_running,
                len(state.jobs) - n_running,
                tally.core_seconds,
            )
        )
        return tally

    def tally(self, now: float) -> Tally:
        """Return how the run is: call it on the event loop."""
        self._catch_up()
        self._count_cores(now)
        running = np.fromiter(self._running, np.int64, len(self._running))
        return Tally(
            npoints=int(self._npoints.sum()),
            rate=float(np.nansum(self._rate[running])),
            loss=_if_known(self._loss, np.nanmedian),
            cpu=_if_known(self._cpu[running], np.nanmean),
            memory=_if_known(self._memory[running], np.nanmean),
            core_seconds=self._core_seconds,
            time_left=self._time_left(running, now),
        )

    def _time_left(self, running: np.ndarray[Any, Any], now: float) -> timedelta | None:
        learners = self._database.state.learners
        return time_left(
            self._finish[running],
            [learners[i].started or now for i in self._running],
            n_unstarted=self._database.state.n_unscheduled,
            mean_duration=_if_known(self._duration, np.nanmean),
            now=now,
        )

    def _catch_up(self) -> None:
        learners, handler = self._database.state.learners, self._database.handler
        while self._changed:
            index = self._changed.pop()
            self._note(learners[index], handler.figures.get(index, {}))

    def _note(self, entry: LearnerEntry, figures: Figures) -> None:
        index = entry.index
        npoints = _count(figures.get("npoints", entry.npoints))
        loss = _number(figures.get("latest_loss"))
        self._npoints[index] = npoints or 0
        self._loss[index] = _or_nan(loss)
        self._rate[index] = _or_nan(_number(figures.get("npoints/s")))
        self._cpu[index] = _or_nan(_number(figures.get("cpu_usage")))
        self._memory[index] = _or_nan(_number(figures.get("mem_usage")))
        is_ailing = entry.fails > 0 or entry.state == FAILED or bool(entry.trouble)
        (self.ailing.add if is_ailing else self.ailing.discard)(index)
        if entry.state == RUNNING:
            self._running.add(index)
            if npoints and loss is not None:
                self._earlier.setdefault(index, (npoints, loss))
        else:
            self._running.discard(index)
            self._earlier.pop(index, None)
        if entry.state == DONE and entry.started is not None and entry.ended is not None:
            self._duration[index] = max(0.0, entry.ended - entry.started)
        report = Report(
            npoints=npoints,
            loss=loss,
            rate=_number(figures.get("npoints/s")),
            earlier=self._earlier.get(index),
            n_possible=self._n_possible(index),
        )
        is_done = entry.state == DONE
        self.shares[index] = 1.0 if is_done else _or_nan(share_done(self._goal, report))
        self._finish[index] = math.nan
        if entry.state == RUNNING and entry.started is not None:
            seen = self._database.handler.last_seen.get(index, entry.started)
            finish = finish_time(self._goal, report, started=entry.started, seen=seen)
            self._finish[index] = _or_nan(finish)

    def _n_possible(self, index: int) -> int | None:
        is_known = isinstance(self._goal, Goal)
        return n_possible(self._database.learners[index]) if is_known else None

    def _count_cores(self, now: float) -> None:
        """Add what jobs have used since the last time, or since they started."""
        for job in self._database.state.jobs.values():
            if job.started is not None:
                cores = self._cores.get(self._database.groups[job.number], 1)
                since = max(job.started, self._counted_until)
                self._core_seconds += cores * max(0.0, now - since)
        self._counted_until = now


def _count(value: object) -> int | None:
    """Return a whole number that a job has told, of the size that messages carry."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: object) -> float | None:
    """Return a number that a job has told; jobs may tell anything."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if math.isfinite(value) else None


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _if_known(
    values: np.ndarray[Any, Any], mean: Callable[[np.ndarray[Any, Any]], Any]
) -> float | None:
    known = values[~np.isnan(values)]
    return float(mean(known)) if known.size else None
