"""What faults may cost: how many points are computed again because of them, at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.soak.program import POINT_SECONDS, SAVE_INTERVAL

#: Points that a job has computed and not saved when it is killed: those of the time between
#: two saves, one while it is being saved, and one that came back too late for that.
_UNSAVED = round(SAVE_INTERVAL / POINT_SECONDS) + 2
#: Points that are under way when a job is told to end: it computes one at a time.
_UNDER_WAY = 1
#: Jobs that run on a node at most.
_JOBS_ON_A_NODE = 2
#: Seconds in which a job that was told to end saves, or is killed.
_GRACE = 6.0

#: Faults that end a job, and the points that this costs.
_ENDS_A_JOB = {
    "a job is killed": _UNSAVED,
    "a job is killed and requeued": _UNSAVED,
    "a job gets SIGTERM": _UNDER_WAY,
    "a job is cancelled by somebody": _UNDER_WAY,
    "a job is requeued": _UNDER_WAY,
    "a job reaches its walltime": _UNDER_WAY,
}
#: Faults while which nothing can be saved.
_KEEPS_FROM_SAVING = ("the disk is full", "a host is cut off")


@dataclass(frozen=True)
class Strike:
    """A fault that has struck, and for how long, in seconds since whenever."""

    kind: str
    begin: float
    end: float


def most_again(strikes: Sequence[Strike], n_points: int) -> int:
    """Return how many points may have been computed again.

    A job has one learner, and what it had before is saved: so it loses no more
    than the points of that. It may lose all of them while nothing can be saved, and
    what a job that is killed loses when it is stopped and has no time to save.
    What is not named here, such as a manager that dies, costs nothing.

    Parameters
    ----------
    strikes
        All faults that have struck.
    n_points
        How many points a learner has.
    """
    return sum(_cost(strike, strikes, n_points) for strike in strikes)


def _cost(strike: Strike, strikes: Sequence[Strike], n_points: int) -> int:
    if strike.kind == "a node is lost":  # its jobs compute on beside their copies, for a while
        return _JOBS_ON_A_NODE * n_points
    if strike.kind not in _ENDS_A_JOB:
        return 0
    if any(_is_near(strike, kind, strikes) for kind in _KEEPS_FROM_SAVING):
        return n_points
    if _is_near(strike, "a job is stopped for a while", strikes):
        return min(_UNSAVED, n_points)
    return min(_ENDS_A_JOB[strike.kind], n_points)


def _is_near(strike: Strike, kind: str, strikes: Sequence[Strike]) -> bool:
    """Whether a fault of a kind lasts while the job could save that another one ends."""
    return any(
        other.begin <= strike.end + _GRACE and other.end + SAVE_INTERVAL >= strike.begin
        for other in strikes
        if other.kind == kind
    )
