"""Which jobs to submit next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.state import RunState


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
    for group, ready in state.ready_groups():
        n_wanted = min(len(ready) - free[group], room - len(numbers))
        if n_wanted <= 0:
            continue
        own = (n for n in ready if n < n_numbers and n not in taken)
        chosen = list(islice(own, n_wanted))
        if len(chosen) < n_wanted:
            picked = taken.union(chosen)
            members = (n for n in range(n_numbers) if state.groups[n] == group)
            others = (n for n in members if n not in picked)
            chosen += islice(others, n_wanted - len(chosen))
        numbers += chosen
    return numbers


def _free_jobs(state: RunState) -> Counter[Hashable]:
    """Count by group the jobs that will ask for a learner."""
    free: Counter[Hashable] = Counter()
    for job in state.jobs.values():
        if job.learner is None and job.job_id not in state.leaving:
            free[state.groups[job.number]] += 1
    for submission in state.submissions.values():
        free.update(state.groups[number] for number in submission.numbers)
    return free
