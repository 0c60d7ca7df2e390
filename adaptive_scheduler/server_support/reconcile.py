"""Compares the jobs that we know with the queue, and decides which are dead.

A job is dead, or "gone", when a look that was asked after its submission does not show it
alive; or when it can't start, or does not come to its end.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from typing import TYPE_CHECKING

from adaptive_scheduler._common.scratch import remove_scratch_of
from adaptive_scheduler._common.tail import last_lines
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.scheduler.jobs import JobEnd
from adaptive_scheduler.server_support.ownership import owned

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.layout import RunFolder
    from adaptive_scheduler.run_folder.models import JobEntry
    from adaptive_scheduler.run_folder.state import RunState
    from adaptive_scheduler.scheduler.base import BaseScheduler
    from adaptive_scheduler.scheduler.jobs import QueuedJob
    from adaptive_scheduler.server_support.message_handler import MessageHandler
    from adaptive_scheduler.server_support.record import Record

log = logging.getLogger(__name__)

#: Seconds for which the end of a look waits for the disk.
_DISK_PATIENCE = 10.0
#: Seconds after which a job that is still ending is not waited for any longer. Schedulers give
#: processes some minutes at most for what they do after SIGTERM.
LONGEST_END = 600.0
#: Looks at the queue that must miss a doubtful submission before it is repeated.
_LOOKS_FOR_SUBMISSION = 2


class Reconciler:
    """Brings the record in line with the queue, and keeps what only the queue shows.

    That some job runs, or has been ending for some time, is no record: the next look shows it
    again. All of it is on the event loop.

    Parameters
    ----------
    record
        What has happened to the run.
    scheduler
        Where its jobs run.
    folder
        Where their output lies.
    handler
        What answers them.
    read_outbox
        Handles what jobs have left in the run folder.
    flushed
        Waits for some seconds until the journal is on disk.
    max_log_lines
        How many lines of the output of a failed job are kept.
    """

    def __init__(
        self,
        record: Record,
        scheduler: BaseScheduler,
        folder: RunFolder,
        handler: MessageHandler,
        *,
        read_outbox: Callable[[], Awaitable[None]],
        flushed: Callable[[float], Awaitable[bool]],
        max_log_lines: int,
    ) -> None:
        self._record = record
        self._state = record.state
        self._scheduler = scheduler
        self._folder = folder
        self._handler = handler
        self._read_outbox = read_outbox
        self._flushed = flushed
        self._max_log_lines = max_log_lines
        #: Our living jobs as the queue has shown them last, by id.
        self.queue: dict[str, QueuedJob] = {}
        self._submitting: set[str] = set()
        self._running_since: dict[str, float] = {}
        self._ending_since: dict[str, float] = {}
        #: How many looks have missed the jobs of a submission, by its token.
        self._times_missed: dict[str, int] = {}

    # What the queue shows.

    def started_at(self, job: JobEntry) -> float | None:
        """Return when a job was first seen or heard running; None if it was not."""
        known = (self._running_since.get(job.job_id), job.started)
        return min((at for at in known if at is not None), default=None)

    def started(self) -> set[str]:
        """Return the ids of the living jobs that were seen or heard running."""
        jobs = self._state.jobs
        return {i for i, job in jobs.items() if self.started_at(job) is not None}

    # A look at it.

    @contextmanager
    def submitting(self, token: str) -> Iterator[None]:
        """Await the answer to a submission in this block: no look settles it meanwhile."""
        self._submitting.add(token)
        try:
            yield
        finally:
            self._submitting.discard(token)

    async def reconcile(self, queue: Mapping[str, QueuedJob], asked_at: float) -> None:
        """Compare the record with the queue as it was at some time after `asked_at`.

        Jobs that are gone are recorded with how they ended and what their output
        says. Submissions that were in doubt are found by their tokens. Jobs from which
        nothing is to be hoped for any more count as gone, too: those that the scheduler
        could not start, and has put aside, and those that it can't bring to their end.
        Jobs of other runs are as if they were not there.
        """
        ours = owned(self._state, queue)
        self.find_submissions(ours, asked_at)
        self.queue = {i: seen for i, seen in ours.items() if i in self._state.jobs}
        self._see_phases(asked_at)
        given_up = await self._cancel_stuck() | self._endless(asked_at)
        if gone := gone_jobs(self._state, ours, asked_at, given_up):
            await self._note_gone(gone, given_up)
        self._forget_gone()
        await self._flushed(_DISK_PATIENCE)

    def _forget_gone(self) -> None:
        jobs = self._state.jobs
        self._running_since = {i: at for i, at in self._running_since.items() if i in jobs}
        self._ending_since = {i: at for i, at in self._ending_since.items() if i in jobs}
        self.queue = {i: seen for i, seen in self.queue.items() if i in jobs}

    async def _note_gone(self, gone: Sequence[JobEntry], given_up: Mapping[str, JobEnd]) -> None:
        """Record how jobs have ended, and remove what those that were killed have left."""
        # What they left in the outbox was said before they ended.
        await self._read_outbox()
        ids = [job.job_id for job in gone]
        try:
            told = await asyncio.to_thread(self._scheduler.ends, ids)
        except Exception as error:  # noqa: BLE001  a scheduler that errs must not end the run
            log.warning("How jobs have ended can't be found out: %r", error)
            told = {}
        ends = {**told, **given_up}
        excused = await asyncio.to_thread(self._excused, gone, ends)
        for job in gone:
            await self._record_gone(job, ends.get(job.job_id), is_excused=job.job_id in excused)
        await asyncio.to_thread(remove_scratch_of, self._folder.root, ids)

    def _see_phases(self, asked_at: float) -> None:
        """See who has begun, who waits for another start, and who is about to end.

        A job that was put back into the queue may wait there for long. What it was
        computing is free for others meanwhile.
        """
        for job_id, seen in self.queue.items():
            job = self._state.jobs[job_id]
            if seen["running"]:
                self._running_since.setdefault(job_id, asked_at)
            # Another start may have come between two looks.
            if seen["phase"] == "ending":
                self._ending_since.setdefault(job_id, asked_at)
            else:
                self._ending_since.pop(job_id, None)
            if seen["phase"] in ("pending", "stuck") and self._has_begun(job, before=asked_at):
                self._record.append(events.Requeued(time=asked_at, job_id=job_id))
                self._running_since.pop(job_id, None)

    def _has_begun(self, job: JobEntry, before: float) -> bool:
        if job.learner is None:
            since = self.started_at(job)
        else:
            since = self._state.learners[job.learner].started
        return since is not None and since < before

    async def _cancel_stuck(self) -> dict[str, JobEnd]:
        """Cancel the jobs that the scheduler will not start, and return what is to be said."""
        stuck = {i: seen["reason"] for i, seen in self.queue.items() if seen["phase"] == "stuck"}
        if not stuck:
            return {}
        try:
            await asyncio.to_thread(self._scheduler.cancel_ids, list(stuck))
        except Exception as error:  # noqa: BLE001  a scheduler that errs must not end the run
            log.warning("Jobs that can't start are left in the queue for now: %r", error)
            return {}
        return {job_id: JobEnd(state="HELD", reason=reason) for job_id, reason in stuck.items()}

    def _endless(self, now: float) -> dict[str, JobEnd]:
        """Return the jobs that should have ended long ago, and what is to be said of them.

        A process that waits for a broken file system can't be killed. Should it ever go
        on, it hears that it is superseded.
        """
        reason = f"it did not come to its end in {LONGEST_END / 60:.0f} minutes"
        end = JobEnd(state="ENDLESS", reason=reason, is_no_fault=True)
        late = (i for i, since in self._ending_since.items() if since < now - LONGEST_END)
        return {job_id: end for job_id in late if job_id in self._state.jobs}

    def _excused(self, gone: Iterable[JobEntry], ends: Mapping[str, JobEnd]) -> set[str]:
        """Return the ids of the jobs that vanished without a trace, except the first.

        They were never seen running, have written nothing, and nothing is known of their
        end. As a rule somebody has cancelled them while they were pending: PBS without a
        history remembers nothing of that, nor does Slurm of members of an array. One
        counts, so that a run in which jobs vanish again and again comes to an end.
        """
        traceless = [
            job.job_id
            for job in gone
            if self.started_at(job) is None
            and job.job_id not in ends
            and not self._folder.output_of(job.job_name, job.job_id).exists()
        ]
        return set(traceless[1:])

    async def _record_gone(self, job: JobEntry, end: JobEnd | None, *, is_excused: bool) -> None:
        is_stopping = self._handler.is_stopping
        is_pending = self.started_at(job) is None
        was_cancelled = end is not None and is_pending and end.state == "CANCELLED"
        is_no_fault = is_excused or was_cancelled or (end is not None and end.is_no_fault)
        never_asked = self._state.never_asked(job)
        is_failed_start = never_asked and not is_stopping and not is_no_fault
        output = ""
        if is_stopping and job.learner is not None:
            reason = "The run was cancelled."
            self._record.append(
                events.Released(time=time.time(), learner=job.learner, reason=reason)
            )
        elif job.learner is not None or is_failed_start:
            path = self._folder.output_of(job.job_name, job.job_id)
            output = await asyncio.to_thread(last_lines, path, self._max_log_lines)
        self._record.append(
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
        self._handler.forget(job.job_id)

    def find_submissions(self, ours: Mapping[str, QueuedJob], asked_at: float) -> None:
        """Settle submissions whose answer was lost: their jobs are in the queue, or don't exist."""
        submissions = self._state.submissions
        by_token: dict[str, dict[int, str]] = {}
        for job_id, seen in ours.items():
            if seen["token"] in submissions:
                number = int(seen["job_name"].rpartition("-")[2])
                by_token.setdefault(seen["token"], {})[number] = job_id
        for token, submission in list(submissions.items()):
            is_later = submission.time >= asked_at and not submission.is_inherited
            if token in self._submitting or is_later:
                continue
            job_ids = by_token.get(token, {})
            is_complete = len(job_ids) == len(submission.numbers)
            if not is_complete:  # of several arrays, one may come late or never
                self._times_missed[token] = self._times_missed.get(token, 0) + 1
                if self._times_missed[token] < _LOOKS_FOR_SUBMISSION:
                    continue
            self._times_missed.pop(token, None)
            now = time.time()
            if job_ids:
                self._record.append(events.Submitted(time=now, token=token, job_ids=job_ids))
            else:
                reason = "It is not in the queue."
                self._record.append(events.NotSubmitted(time=now, token=token, reason=reason))


def gone_jobs(
    state: RunState,
    ours: Mapping[str, QueuedJob],
    asked_at: float,
    given_up: Collection[str] = (),
) -> list[JobEntry]:
    """Return the jobs that have ended: submitted before the look, and not alive in it."""
    return [
        job
        for job_id, job in state.jobs.items()
        if job_id in given_up
        or (
            (job.is_inherited or job.submitted < asked_at)
            and not (job_id in ours and ours[job_id]["alive"])
        )
    ]
