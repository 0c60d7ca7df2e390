"""Which jobs in the queue are this run's, and may be adopted, counted and cancelled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from adaptive_scheduler.scheduler.jobs import QueuedJob, run_id_of

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.models import JobEntry
    from adaptive_scheduler.run_folder.state import RunState

#: Seconds by which the clock of the scheduler may be behind that of a manager.
_CLOCK_SKEW = 300.0


def owned(state: RunState, queue: Mapping[str, QueuedJob]) -> dict[str, QueuedJob]:
    """Return the jobs in a queue that are this run's.

    A job that carries the id of a run is that run's, whatever the journal says of its id:
    schedulers give ids again, and folders are copied and renamed. A job that carries none,
    because a plugin of the site has overwritten its mark, is ours if the journal holds its id,
    its name fits, and it was submitted after we had begun to submit it.

    Parameters
    ----------
    state
        What the journal says.
    queue
        Jobs by id, as the scheduler shows them.
    """
    return {job_id: seen for job_id, seen in queue.items() if _is_owned(state, job_id, seen)}


def jobs_to_end(state: RunState, queue: Mapping[str, QueuedJob]) -> list[str]:
    """Return the ids of all jobs that are to be cancelled when the run ends.

    Those that the journal knows, unless the queue shows a job of another run under the id,
    and those of submissions whose answer was lost.
    """
    ours = owned(state, queue)
    known = [job_id for job_id in state.jobs if job_id in ours or job_id not in queue]
    return [*known, *(job_id for job_id in ours if job_id not in state.jobs)]


def known_as_ours(
    state: RunState, job_ids: Iterable[str], seen: Mapping[str, QueuedJob]
) -> list[str]:
    """Return the ids of those jobs that are ours beyond doubt, and may be cancelled.

    This manager has submitted them, or has `seen` them in the queue: what an earlier one has
    submitted may be gone, and its id another job's.
    """
    jobs = ((job_id, state.jobs.get(job_id)) for job_id in job_ids)
    return [i for i, job in jobs if i in seen or (job is not None and not job.is_inherited)]


def _is_owned(state: RunState, job_id: str, seen: QueuedJob) -> bool:
    if run_id := run_id_of(seen["token"]):
        return run_id == state.run_id
    if seen["token"] in state.submissions:
        return True
    job = state.jobs.get(job_id)
    if job is None:
        return False
    if job.requested is None:  # started by hand; it has told us its id itself
        return True
    submitted = seen["submitted"]
    is_later = submitted is None or submitted >= job.requested - _CLOCK_SKEW
    return is_later and _fits(job, seen["job_name"])


def _fits(job: JobEntry, name: str) -> bool:
    """Whether the queue shows a job's full name, or that of its array."""
    return name in (job.job_name, job.job_name.rpartition("-")[0])
