"""Jobs that are to end, and are asked to again as long as they don't."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING

from adaptive_scheduler.server_support.ownership import known_as_ours
from adaptive_scheduler.server_support.planning import jobs_to_cancel

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.state import RunState
    from adaptive_scheduler.scheduler.jobs import QueuedJob

#: Seconds after which a job that is still there is cancelled once more.
_CANCEL_AGAIN = 60.0


class UnwantedJobs:
    """Which jobs the scheduler is to end, and when it was last asked to."""

    def __init__(self) -> None:
        self._asked_at: dict[str, float] = {}

    def choose(self, state: RunState, started: Container[str]) -> None:
        """Have those jobs end that are there for cancelled learners, and no others.

        The parameters are those of `jobs_to_cancel`.
        """
        before = self._asked_at
        ids = [*jobs_to_cancel(state, started), *(i for i in before if i in state.leaving)]
        self._asked_at = {job_id: before.get(job_id, 0.0) for job_id in ids}

    def due(self, state: RunState, seen: Mapping[str, QueuedJob], now: float) -> list[str]:
        """Return the ids of the jobs that are to be cancelled now, and count them as asked.

        Parameters
        ----------
        state
            What is believed about jobs.
        seen
            Our jobs as the queue has shown them last: others may not be ours.
        now
            In seconds since the epoch.
        """
        self._asked_at = {i: at for i, at in self._asked_at.items() if i in state.jobs}
        ids = [i for i, at in self._asked_at.items() if at + _CANCEL_AGAIN <= now]
        ids = known_as_ours(state, ids, seen)
        self._asked_at.update(dict.fromkeys(ids, now))
        return ids

    def next_due(self) -> float | None:
        """Return when the next one is due, in seconds since the epoch."""
        return min((at + _CANCEL_AGAIN for at in self._asked_at.values()), default=None)
