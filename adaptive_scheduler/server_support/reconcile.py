"""What a look at the queue tells about the jobs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from adaptive_scheduler._common.scratch import remove_scratch_of
from adaptive_scheduler._common.tail import last_lines
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.state import JobEntry, RunState
from adaptive_scheduler.scheduler.jobs import JobEnd
from adaptive_scheduler.server_support.ownership import owned

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.layout import RunFolder
    from adaptive_scheduler.scheduler.jobs import QueuedJob
    from adaptive_scheduler.server_support.database_manager import DatabaseManager

log = logging.getLogger(__name__)

#: Seconds for which the end of a look waits for the disk.
_DISK_PATIENCE = 10.0
#: Seconds after which a job that is still ending is not waited for any longer. Schedulers give
#: processes some minutes at most for what they do after SIGTERM.
LONGEST_END = 600.0
#: Looks at the queue that must miss a doubtful submission before it is repeated.
_LOOKS_FOR_SUBMISSION = 2


async def note_queue(
    database: DatabaseManager, queue: Mapping[str, QueuedJob], asked_at: float
) -> None:
    """Take note of the queue as it was at some time after `asked_at`.

    Jobs of other runs are as if they were not there.
    Jobs that are gone are recorded with how they ended and what their output
    says. Submissions that were in doubt are found by their tokens. Jobs from which
    nothing is to be hoped for any more count as gone, too: those that the scheduler
    could not start, and has put aside, and those that it can't bring to their end.
    """
    state = database.state
    queue = owned(state, queue)
    find_submissions(database, queue, asked_at)
    database.queue = {i: seen for i, seen in queue.items() if i in state.jobs}
    note_phases(database, asked_at)
    given_up = await _cancel_stuck(database) | endless_jobs(state, asked_at)
    if gone := gone_jobs(state, queue, asked_at, given_up):
        await _note_gone(database, gone, given_up)
    await database.flushed(_DISK_PATIENCE)


async def _note_gone(
    database: DatabaseManager, gone: Sequence[JobEntry], given_up: Mapping[str, JobEnd]
) -> None:
    """Record how jobs have ended, and remove what those that were killed have left."""
    # What they left in the outbox was said before they ended.
    await database.read_outbox()
    ids = [job.job_id for job in gone]
    try:
        told = await asyncio.to_thread(database.scheduler.ends, ids)
    except Exception as error:  # noqa: BLE001  a scheduler that errs must not end the run
        log.warning("How jobs have ended can't be found out: %r", error)
        told = {}
    ends = {**told, **given_up}
    excused = await asyncio.to_thread(_excused, database.run_folder, gone, ends)
    for job in gone:
        is_excused = job.job_id in excused
        await _record_gone(database, job, ends.get(job.job_id), is_excused=is_excused)
    await asyncio.to_thread(remove_scratch_of, database.run_folder.root, ids)


def note_phases(database: DatabaseManager, asked_at: float) -> None:
    """Take note of who has begun, who waits for another start, and who is about to end.

    A job that was put back into the queue may wait there for long. What it was
    computing is free for others meanwhile.
    """
    state = database.state
    for job_id, seen in database.queue.items():
        job = state.jobs[job_id]
        if seen["running"]:
            state.job_runs(job, asked_at)
        # Another start may have come between two looks.
        is_ending = seen["phase"] == "ending"
        job.ending_since = (job.ending_since or asked_at) if is_ending else None
        if seen["phase"] in ("pending", "stuck") and _has_begun(state, job, before=asked_at):
            if job.learner is not None:
                reason = f"Job {job_id} waits in the queue again."
                database.record(
                    events.Released(time=time.time(), learner=job.learner, reason=reason)
                )
            state.job_waits_again(job, asked_at)


def _has_begun(state: RunState, job: JobEntry, before: float) -> bool:
    since = job.started if job.learner is None else state.learners[job.learner].started
    return since is not None and since < before


async def _cancel_stuck(database: DatabaseManager) -> dict[str, JobEnd]:
    """Cancel the jobs that the scheduler will not start, and return what is to be said of them."""
    stuck = {i: seen["reason"] for i, seen in database.queue.items() if seen["phase"] == "stuck"}
    if not stuck:
        return {}
    try:
        await asyncio.to_thread(database.scheduler.cancel_ids, list(stuck))
    except Exception as error:  # noqa: BLE001  a scheduler that errs must not end the run
        log.warning("Jobs that can't start are left in the queue for now: %r", error)
        return {}
    return {job_id: JobEnd(state="HELD", reason=reason) for job_id, reason in stuck.items()}


def endless_jobs(state: RunState, now: float) -> dict[str, JobEnd]:
    """Return the jobs that should have ended long ago, and what is to be said of them.

    A process that waits for a broken file system can't be killed. Should it ever go
    on, it hears that it is superseded.
    """
    reason = f"it did not come to its end in {LONGEST_END / 60:.0f} minutes"
    end = JobEnd(state="ENDLESS", reason=reason, is_no_fault=True)
    return {
        job.job_id: end
        for job in state.jobs.values()
        if job.ending_since is not None and job.ending_since < now - LONGEST_END
    }


def gone_jobs(
    state: RunState,
    queue: Mapping[str, QueuedJob],
    asked_at: float,
    given_up: Container[str] = (),
) -> list[JobEntry]:
    """Return the jobs that have ended: submitted before the look, and not alive in it."""
    return [
        job
        for job_id, job in state.jobs.items()
        if job_id in given_up
        or (
            (job.is_inherited or job.submitted < asked_at)
            and not (job_id in queue and queue[job_id]["alive"])
        )
    ]


def _excused(
    run_folder: RunFolder, gone: Iterable[JobEntry], ends: Mapping[str, JobEnd]
) -> set[str]:
    """Return the ids of the jobs that are gone without a trace, but for one of them.

    They were never seen running, have written nothing, and nothing is known of their
    end. As a rule somebody has cancelled them while they were pending: PBS without a
    history remembers nothing of that, nor does Slurm of members of an array. One
    counts, so that a run in which jobs vanish again and again comes to an end.
    """
    traceless = [
        job.job_id
        for job in gone
        if job.started is None
        and job.job_id not in ends
        and not run_folder.output_of(job.job_name, job.job_id).exists()
    ]
    return set(traceless[1:])


async def _record_gone(
    database: DatabaseManager, job: JobEntry, end: JobEnd | None, *, is_excused: bool
) -> None:
    is_stopping = database.handler.is_stopping
    was_cancelled = end is not None and job.started is None and end.state == "CANCELLED"
    is_no_fault = is_excused or was_cancelled or (end is not None and end.is_no_fault)
    never_worked = database.state.is_failed_start(job)
    is_failed_start = never_worked and not is_stopping and not is_no_fault
    output = ""
    if is_stopping and job.learner is not None:
        database.record(
            events.Released(time=time.time(), learner=job.learner, reason="The run was cancelled.")
        )
    elif job.learner is not None or is_failed_start:
        path = database.run_folder.output_of(job.job_name, job.job_id)
        output = await asyncio.to_thread(last_lines, path, database.max_log_lines)
    database.record(
        events.JobGone(
            time=time.time(),
            job_id=job.job_id,
            end=str(end) if end is not None else "nothing is known of its end",
            state="" if end is None else end.state,
            is_no_fault=is_no_fault,
            output=output,
            is_failed_start=is_failed_start,
            is_certain=end is not None,
        )
    )
    database.handler.forget(job.job_id)


def find_submissions(
    database: DatabaseManager, queue: Mapping[str, QueuedJob], asked_at: float
) -> None:
    """Settle submissions whose answer was lost: their jobs are in the queue, or don't exist."""
    state = database.state
    by_token: dict[str, dict[int, str]] = {}
    for job_id, seen in queue.items():
        if seen["token"] in state.submissions:
            number = int(seen["job_name"].rpartition("-")[2])
            by_token.setdefault(seen["token"], {})[number] = job_id
    for token, submission in list(state.submissions.items()):
        is_later = submission.time >= asked_at and not submission.is_inherited
        if token in database.submitting or is_later:
            continue
        job_ids = by_token.get(token, {})
        is_complete = len(job_ids) == len(submission.numbers)
        if not is_complete:  # of several arrays, one may come late or never
            submission.times_missed += 1
        if not is_complete and submission.times_missed < _LOOKS_FOR_SUBMISSION:
            continue
        if job_ids:
            database.record(events.Submitted(time=time.time(), token=token, job_ids=job_ids))
        else:
            database.record(
                events.NotSubmitted(time=time.time(), token=token, reason="It is not in the queue.")
            )
