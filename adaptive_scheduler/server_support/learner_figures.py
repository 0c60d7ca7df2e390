"""What jobs have told of their learners, in arrays: summed at any time at once.

The live run and a run that is seen by its folder both count with this, whether the figures
have come in messages or stand in logs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from adaptive_scheduler.protocol.messages import MAX_NUMBER
from adaptive_scheduler.run_folder.models import DONE, FAILED, RUNNING, LearnerEntry
from adaptive_scheduler.server_support.eta import Report, finish_time, share_done, time_left

if TYPE_CHECKING:
    from datetime import timedelta

    from adaptive_scheduler.run_folder.state import RunState


def _no_goal(_: object) -> bool:
    """Stand in for a goal of which nothing can be foretold."""
    return False


class LearnerFigures:
    """Figures of all learners of a run. Noting one costs the same however many there are.

    Parameters
    ----------
    n_learners
        How many learners there are.
    goal
        What `smart_goal` has returned; if it is not known, neither are shares of it.
    n_possible
        Returns how many points learner ``i`` can have; None where there is no end to them.
    """

    def __init__(
        self,
        n_learners: int,
        goal: Callable[[Any], bool] = _no_goal,
        n_possible: Callable[[int], int | None] = lambda _: None,
    ) -> None:
        self._goal, self._n_possible = goal, n_possible
        self._earlier: dict[int, tuple[int, float]] = {}
        self._running: set[int] = set()
        #: Learners that have failed last time, or whose jobs are hindered: few of many.
        self.ailing: set[int] = set()
        self._npoints = np.zeros(n_learners, np.int64)
        #: Of each learner; nan where nothing is known.
        self._loss, self._rate, self._cpu, self._memory, self._finish, self._duration = np.full(
            (6, n_learners), np.nan
        )
        self._shares = np.full(n_learners, np.nan)

    def note(self, entry: LearnerEntry, told: Mapping[str, object], seen: float | None) -> None:
        """Count a learner as it is now, and no longer as it was.

        Parameters
        ----------
        entry
            What the record says of it.
        told
            What its job has told last; jobs may tell anything.
        seen
            When that was, in seconds since the epoch.
        """
        index, is_running = entry.index, entry.state == RUNNING
        npoints = _count(told.get("npoints", entry.npoints))
        loss, rate = number(told.get("latest_loss")), number(told.get("npoints/s"))
        self._npoints[index] = npoints or 0
        self._loss[index] = _or_nan(loss)
        self._rate[index] = _or_nan(rate)
        self._cpu[index] = _or_nan(number(told.get("cpu_usage")))
        self._memory[index] = _or_nan(number(told.get("mem_usage")))
        is_ailing = entry.fails > 0 or entry.state == FAILED or bool(entry.trouble)
        (self.ailing.add if is_ailing else self.ailing.discard)(index)
        (self._running.add if is_running else self._running.discard)(index)
        if not is_running:
            self._earlier.pop(index, None)
        elif npoints and loss is not None:
            self._earlier.setdefault(index, (npoints, loss))
        if entry.state == DONE and entry.started is not None and entry.ended is not None:
            self._duration[index] = max(0.0, entry.ended - entry.started)
        report = Report(
            npoints=npoints,
            loss=loss,
            rate=rate,
            earlier=self._earlier.get(index),
            n_possible=self._n_possible(index),
        )
        is_done = entry.state == DONE
        self._shares[index] = 1.0 if is_done else _or_nan(share_done(self._goal, report))
        self._finish[index] = math.nan
        if is_running and entry.started is not None:
            seen = entry.started if seen is None else seen
            finish = finish_time(self._goal, report, started=entry.started, seen=seen)
            self._finish[index] = _or_nan(finish)

    # Of one learner.

    def share(self, index: int) -> float | None:
        """Return how much of the way to its goal a learner has gone, from 0 to 1."""
        share = float(self._shares[index])
        return None if math.isnan(share) else share

    # Of all.

    @property
    def npoints(self) -> int:
        """Points of all learners, as far as their jobs have told."""
        return int(self._npoints.sum())

    @property
    def rate(self) -> float:
        """Points a second, of the learners that jobs have now."""
        return float(np.nansum(self._rate[self._indices]))

    @property
    def loss(self) -> float | None:
        """Median of the learners' losses."""
        return _if_known(self._loss, np.nanmedian)

    @property
    def cpu(self) -> float | None:
        """Mean over the jobs, in percent of one core."""
        return _if_known(self._cpu[self._indices], np.nanmean)

    @property
    def memory(self) -> float | None:
        """Mean over the jobs, in percent of the host's memory."""
        return _if_known(self._memory[self._indices], np.nanmean)

    def time_left(self, state: RunState, now: float) -> timedelta | None:
        """Return how long it will be until all learners are done; None if nobody can know."""
        return time_left(
            self._finish[self._indices],
            [state.learners[i].started or now for i in self._running],
            n_unstarted=state.learners.n_unscheduled,
            mean_duration=_if_known(self._duration, np.nanmean),
            now=now,
        )

    @property
    def _indices(self) -> np.ndarray[Any, Any]:
        return np.fromiter(self._running, np.int64, len(self._running))


def number(value: object) -> float | None:
    """Return what a job has told if it is a finite number; jobs may tell anything."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if math.isfinite(value) else None


def _count(value: object) -> int | None:
    """Return a whole number that a job has told, of the size that messages carry."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if abs(value) <= MAX_NUMBER else None


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _if_known(
    values: np.ndarray[Any, Any], mean: Callable[[np.ndarray[Any, Any]], Any]
) -> float | None:
    known = values[~np.isnan(values)]
    return float(mean(known)) if known.size else None
