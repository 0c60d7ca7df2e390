"""What the manager answers to each message of a job."""

from __future__ import annotations

import time
from collections.abc import Callable

from adaptive_scheduler import journal as j
from adaptive_scheduler import protocol as p
from adaptive_scheduler.server_support.state import (
    CANCELLED,
    DELAYED,
    DONE,
    READY,
    RUNNING,
    JobEntry,
    LearnerEntry,
    RunState,
    attempt_of,
)

#: By how much the number of an attempt that began unheard may be ahead of what is known:
#: they are counted on from, and no job may make them grow beyond what can be told.
_MOST_UNHEARD = 100_000


class MessageHandler:
    """Answers jobs, and records what they said.

    Handling a message twice does no harm: a job that repeats a request because
    the answer was lost gets the same answer again.

    Parameters
    ----------
    state
        What is believed about learners and jobs.
    record
        Applies a record to the state and puts it into the journal.
    on_cancel
        Called when somebody asks for the end of the run.
    on_steer
        Does what else somebody wants of the run, and returns what became of it.
    """

    def __init__(
        self,
        state: RunState,
        record: Callable[[j.AnyRecord], None],
        on_cancel: Callable[[], None],
        on_steer: Callable[[p.Steer], p.Steered],
    ) -> None:
        self._state = state
        self._record = record
        self._on_cancel = on_cancel
        self._on_steer = on_steer
        #: The last request of each job, by id, and its answer.
        self._last: dict[str, tuple[p.JobIdentity, int, p.Answer]] = {}
        #: Whether jobs are told to stop.
        self.is_stopping = False
        #: The last status of each learner, by index.
        self.figures: dict[int, p.Figures] = {}
        #: When each learner's job was last heard of, in seconds since the epoch.
        self.last_seen: dict[int, float] = {}

    def stop(self) -> None:
        """Tell jobs to stop from now on."""
        self.is_stopping = True

    def handle(self, request: p.Request) -> p.Answer:
        """Return the answer to a request; its records may still have to be written."""
        job = request.message.job
        last = self._last.get(job.job_id)
        if last is not None and last[:2] == (job, request.seq):
            return last[2]
        answer = self.answer(request.message)
        self._last[job.job_id] = (job, request.seq, answer)
        return answer

    def forget(self, job_id: str) -> None:
        """Forget a job that is gone."""
        self._last.pop(job_id, None)

    def answer(self, message: p.Message) -> p.Answer:
        """Return the answer to a message that has not been answered before."""
        match message:
            case p.Hello():
                return self._hello(message)
            case p.CancelRun():
                self._on_cancel()
                return p.Accepted()
            case p.Steer():
                return self._on_steer(message)
            case p.Ping():
                return p.Accepted()
            case _:
                return self._about_attempt(message)

    def _about_attempt(self, message: p.Status | p.Report) -> p.Answer:
        if message.attempt.learner >= len(self._state.learners):
            return p.Superseded()
        entry = self._state.learners[message.attempt.learner]
        match message:
            case p.Status():
                return self._status(message, entry)
            case p.Done():
                return self._done(message, entry)
            case p.Failed():
                return self._failed(message, entry)
            case p.Released():
                return self._released(message, entry)

    def _hello(self, hello: p.Hello) -> p.Answer:  # noqa: PLR0911  one line a case
        state = self._state
        if hello.number >= len(state.learners):
            return p.NothingLeft()
        state.end_pauses(time.time())
        job = state.jobs.get(hello.job.job_id)
        if state.is_over(hello.job) or (job is not None and hello.job.restarts < job.restarts):
            return p.Superseded()  # the scheduler has ended this job, or started it again elsewhere
        if hello.holding is not None:
            return self._resume(hello, hello.holding)
        if self.is_stopping:
            return p.Stop()
        if job is not None and job.learner is not None:
            entry = state.learners[job.learner]
            if entry.job == hello.job:
                return p.Assigned(attempt_of(entry))
            return self._assign(entry, hello)  # requeued: it gets its learner back
        index = state.next_ready(hello.number, self._had_before(job, hello.job))
        return (
            self._send_away(hello) if index is None else self._assign(state.learners[index], hello)
        )

    def _had_before(self, job: JobEntry | None, identity: p.JobIdentity) -> int | None:
        """Return the learner that a job had before it was put back into the queue."""
        before = None if job is None else self._state.last_process(job)
        if job is None or before is None or before == identity:
            return None
        return job.last_learner

    def _send_away(self, hello: p.Hello) -> p.Answer:
        job_id, restarts = hello.job.job_id, hello.job.restarts
        is_known = job_id in self._state.leaving and self._state.jobs[job_id].restarts == restarts
        if not is_known:
            self._record(
                j.NothingLeft(
                    time=time.time(),
                    job=hello.job,
                    job_name=hello.job_name,
                    job_number=hello.number,
                )
            )
        return p.NothingLeft()

    def _resume(self, hello: p.Hello, holding: p.Attempt) -> p.Answer:
        """Let a job go on that was not heard for a while, unless its learner went elsewhere."""
        if holding.learner >= len(self._state.learners):
            return p.Superseded()
        entry = self._state.learners[holding.learner]
        if entry.is_held_by(hello.job, holding.number):
            return p.Stop() if self._is_to_stop(entry) else p.Assigned(holding)
        if entry.state == CANCELLED and holding.number >= entry.attempt:
            return p.Stop()  # nobody else has it: what was computed is to be saved
        if entry.state == RUNNING and entry.job == hello.job:
            return p.Assigned(attempt_of(entry))  # it has not heard its attempt's new number
        can_be = holding.number <= entry.attempt + _MOST_UNHEARD
        if entry.state in (READY, DELAYED) and can_be:
            return self._assign(entry, hello, at_least=holding.number)
        return p.Superseded()

    def _assign(self, entry: LearnerEntry, hello: p.Hello, *, at_least: int = 1) -> p.Answer:
        self._record(
            j.Assigned(
                time=time.time(),
                learner=entry.index,
                number=max(entry.attempt + 1, at_least),
                job=hello.job,
                job_name=hello.job_name,
                job_number=hello.number,
                log_fname=hello.log_fname,
                host=hello.host,
            )
        )
        self.last_seen[entry.index] = time.time()
        return p.Assigned(attempt_of(entry))

    def _status(self, status: p.Status, entry: LearnerEntry) -> p.Answer:
        if not entry.is_held_by(status.job, status.attempt.number):
            return p.Superseded()
        self.figures[entry.index] = status.figures
        self.last_seen[entry.index] = time.time()
        self._state.note_change(entry.index)
        if (trouble := status.trouble or "") != entry.trouble:
            self._record(j.Troubled(time=time.time(), learner=entry.index, text=trouble))
        return p.Stop() if self._is_to_stop(entry) else p.Accepted()

    def _is_to_stop(self, entry: LearnerEntry) -> bool:
        """Whether the job that has a learner is to save and let go of it."""
        return self.is_stopping or entry.is_cancelled

    def _done(self, done: p.Done, entry: LearnerEntry) -> p.Answer:
        # A job that was given up too early and made it all the same is done, too.
        is_free = entry.state in (READY, DELAYED, CANCELLED)
        if is_free or entry.is_held_by(done.job, done.attempt.number):
            npoints = done.figures.get("npoints")
            self.figures[entry.index] = done.figures
            self.last_seen[entry.index] = time.time()
            self._record(
                j.Done(
                    time=time.time(),
                    learner=entry.index,
                    npoints=npoints if isinstance(npoints, int) else None,
                )
            )
            return p.Accepted()
        return p.Accepted() if entry.state == DONE else p.Superseded()

    def _failed(self, failed: p.Failed, entry: LearnerEntry) -> p.Answer:
        if entry.is_held_by(failed.job, failed.attempt.number):
            self._record(
                j.Failed(
                    time=time.time(),
                    learner=entry.index,
                    error=failed.error,
                    traceback=failed.traceback,
                )
            )
        return p.Accepted()

    def _released(self, released: p.Released, entry: LearnerEntry) -> p.Answer:
        if entry.is_held_by(released.job, released.attempt.number):
            self._record(j.Released(time=time.time(), learner=entry.index, reason=released.reason))
        return p.Accepted()
