"""Which jobs to submit next, and when, and which to end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Hashable, Iterable
from itertools import islice
from typing import TYPE_CHECKING

from adaptive_scheduler.run_folder.learner_table import pause_after
from adaptive_scheduler.run_folder.models import DELAYED, READY, WAITING

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.state import RunState


class SubmissionPause:
    """Slows the submission down when jobs end before they have begun, wave after wave."""

    def __init__(self) -> None:
        #: When the pause ends, in seconds since the epoch.
        self.until = 0.0
        self._n_failed = 0
        self._n_waves = 0

    def hold(self, until: float) -> None:
        """Submit nothing until then, in seconds since the epoch."""
        self.until = until

    def note(self, n_failed: int, now: float) -> None:
        """Take note of how many jobs in a row have failed to start so far."""
        if n_failed == 0:
            self._n_waves = 0
        elif n_failed != self._n_failed:
            self._n_waves += 1
            self.until = now + pause_after(self._n_waves)
        self._n_failed = n_failed


def numbers_to_submit(state: RunState, n_numbers: int, max_jobs: int) -> list[int]:
    """Return the numbers of the jobs that are missing in the queue.

    There is one job for each ready learner that no free job will take, up to
    `max_jobs` in all. A job bears the number of the learner for which it is
    submitted, unless a living job bears it already.

    Parameters
    ----------
    state
        What is believed about learners and jobs.
    n_numbers
        Jobs are numbered below this.
    max_jobs
        How many jobs may live at once.
    """
    taken = state.live_numbers()
    room = max_jobs - len(state.jobs) - sum(len(s.numbers) for s in state.submissions.values())
    free = _free_jobs(state)
    numbers: list[int] = []
    for group, ready in state.learners.ready_groups():
        n_wanted = min(len(ready) - free[group], room - len(numbers))
        if n_wanted <= 0:
            continue
        own = (n for n in ready if n < n_numbers and n not in taken)
        chosen = list(islice(own, n_wanted))
        if len(chosen) < n_wanted:
            picked = taken.union(chosen)
            members = (n for n in range(n_numbers) if state.learners.groups[n] == group)
            others = (n for n in members if n not in picked)
            chosen += islice(others, n_wanted - len(chosen))
        numbers += chosen
    return numbers


def jobs_to_cancel(state: RunState, started: Container[str]) -> list[str]:
    """Return the ids of the jobs that are there for learners which the user has cancelled.

    Jobs that have such a learner, and pending ones for which nothing would be left.

    Parameters
    ----------
    state
        What the journal says.
    started
        Ids of the jobs that are not pending any more.
    """
    unwanted = state.learners.cancelled
    if not unwanted:
        return []
    surplus = _free_jobs(state)
    for kind in (WAITING, READY, DELAYED):
        for index in state.learners.in_state(kind):
            surplus[state.learners.groups[index]] -= 1
    ids = []
    for job in state.jobs.values():
        group = state.learners.groups[job.number]
        if job.learner is not None:
            ids += [job.job_id] if job.learner in unwanted else []
        elif job.job_id in started or job.job_id in state.leaving:
            continue
        elif job.number in unwanted and surplus[group] > 0:
            surplus[group] -= 1
            ids.append(job.job_id)
    return ids


def unheard_jobs(state: RunState, started: Iterable[str]) -> list[str]:
    """Return the ids of `started` jobs that have not heard yet that nothing is left."""
    return [job_id for job_id in started if job_id not in state.leaving]


def leftover_jobs(state: RunState) -> list[str]:
    """Return the ids of the jobs that may not end by themselves, when nothing is left."""
    return [
        job_id
        for job_id, job in state.jobs.items()
        if job_id not in state.leaving or job.is_interrupted
    ]


def _free_jobs(state: RunState) -> Counter[Hashable]:
    """Count by group the jobs that will ask for a learner."""
    free: Counter[Hashable] = Counter()
    for job in state.jobs.values():
        if job.learner is None and job.job_id not in state.leaving:
            free[state.learners.groups[job.number]] += 1
    for submission in state.submissions.values():
        free.update(state.learners.groups[number] for number in submission.numbers)
    return free
