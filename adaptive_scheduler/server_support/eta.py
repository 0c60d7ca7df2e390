"""When a run will be ready, as far as anybody can tell.

A learner in a job is ready when it has the points that its goal asks for; how
many that are is known for a number of points, for sequences, and, once its loss
has been seen to fall, for a loss. Learners that nobody has begun take as long as
those that are done. Where neither tells anything, the answer is None: an honest
"unknown" is better than a number that nobody can trust.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from adaptive_scheduler.learners.goals import Complete, For, Loss, NPoints, Until

#: Share of the time that a learner has taken already which it will take at least, when it has
#: taken longer than others did.
_LEAST_SHARE = 0.1
#: The slowest fall of a loss, as a power of the number of points, that tells when it ends.
_SLOWEST_FALL = 0.05
#: By how many powers of e more points than now may be foretold. Nobody lives to see e**100 times
#: as many, and e**710 is no float.
_LARGEST_POWER = 100.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What a job has told of its learner last.

    Attributes
    ----------
    npoints, loss
        Of the learner; None if nothing was told.
    rate
        Points a second in this job.
    earlier
        Number of points and loss at an earlier time.
    n_possible
        The number of points that there are, if there is an end to them.
    """

    npoints: int | None = None
    loss: float | None = None
    rate: float | None = None
    earlier: tuple[int, float] | None = None
    n_possible: int | None = None


def points_needed(goal: Callable[[Any], bool], report: Report) -> float | None:
    """Return with how many points a learner will be done; None if nobody can know.

    Parameters
    ----------
    goal
        What `smart_goal` has returned.
    report
        How far the learner is.
    """
    needed: float | None = None
    match goal:
        case NPoints(npoints=npoints):
            needed = npoints
        case Loss(loss=loss):
            needed = _points_for_loss(loss, report)
        case Complete():
            needed = report.n_possible
    if needed is not None and report.n_possible is not None:
        return min(needed, report.n_possible)
    return needed


def _points_for_loss(goal: float, report: Report) -> float | None:
    """Follow the loss, which falls as a power of the number of points, down to the goal."""
    if report.loss is None or not report.npoints:
        return None
    if report.loss <= goal:
        return report.npoints
    if report.earlier is None or goal <= 0:
        return None
    npoints, loss = report.earlier
    if not 0 < npoints < report.npoints or not loss > report.loss > 0 or math.isinf(loss):
        return None
    power = math.log(loss / report.loss) / math.log(report.npoints / npoints)
    if power < _SLOWEST_FALL:
        return None
    exponent = math.log(report.loss / goal) / power
    return report.npoints * math.exp(exponent) if exponent < _LARGEST_POWER else None


def share_done(goal: Callable[[Any], bool], report: Report) -> float | None:
    """Return how much of the way to its goal a learner has gone, from 0 to 1, if that is known."""
    needed = points_needed(goal, report)
    if needed is None or report.npoints is None:
        return None
    return 1.0 if needed <= 0 else min(1.0, report.npoints / needed)


def finish_time(
    goal: Callable[[Any], bool], report: Report, *, started: float, seen: float
) -> float | None:
    """Return when a learner that is in a job will be done; None if nobody can know.

    Parameters
    ----------
    goal
        What `smart_goal` has returned.
    report
        How far the learner was at the time `seen`.
    started
        When its job got it. Times are in seconds since the epoch.
    seen
        When its job was last heard of.
    """
    match goal:
        case Until(time=time):
            return time.timestamp()
        case For(duration=duration):
            return started + duration.total_seconds()
    needed = points_needed(goal, report)
    if needed is None or report.npoints is None or not report.rate or report.rate <= 0:
        return None
    return seen + max(0.0, needed - report.npoints) / report.rate


def time_left(
    finishes: Sequence[float] | np.ndarray[Any, Any],
    started: Sequence[float] | np.ndarray[Any, Any],
    *,
    n_unstarted: int,
    mean_duration: float | None,
    now: float,
) -> timedelta | None:
    """Return how long it will be until all learners are done.

    Jobs take the next learner when they are done with one, so that what is left
    is spread over the jobs that have one now.

    Parameters
    ----------
    finishes
        For each learner that is in a job, when it will be done (`finish_time`);
        nan if that is not known.
    started
        For each of these, when its job got it.
    n_unstarted
        How many learners no job has, and that are neither done nor given up.
    mean_duration
        Seconds that a job had those that are done, on average; None if none are.
    now
        In seconds since the epoch, as all times.

    Returns
    -------
    timedelta or None
        None if nobody can know, or nobody is at work.
    """
    if not len(finishes):
        return None if n_unstarted else timedelta()
    begun = np.asarray(started, float)
    taken = np.maximum(now - begun, 0.0)
    left = np.maximum(np.asarray(finishes, float) - now, 0.0)
    duration = math.nan if mean_duration is None else mean_duration
    if math.isnan(duration) and not np.isnan(left).all():
        duration = float(np.nanmean(taken + left))
    usual = np.maximum(duration - taken, _LEAST_SHARE * taken)
    left = np.where(np.isnan(left), usual, left)
    seconds = left.sum() + (n_unstarted * duration if n_unstarted else 0.0)
    longest = max(float(left.max()), float(seconds) / len(left))
    if not longest < timedelta.max.total_seconds():  # nan, too
        return None
    return timedelta(seconds=longest)
