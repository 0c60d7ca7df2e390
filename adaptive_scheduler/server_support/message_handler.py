"""What the manager answers to each message of a job."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from adaptive_scheduler.protocol import messages
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.models import (
    CANCELLED,
    DELAYED,
    DONE,
    READY,
    RUNNING,
    JobEntry,
    LearnerEntry,
)
from adaptive_scheduler.version import __version__

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.watched_state import WatchedState

log = logging.getLogger(__name__)

#: By how much the number of an attempt that began unheard may be ahead of what is known:
#: they are counted on from, and no job may make them grow beyond what can be told.
_MOST_UNHEARD = 100_000


class MessageHandler:
    """Answers jobs, and records what they said.

    Handling a message twice does no harm: a job that repeats a request because
    the answer was lost gets the same answer again.

    Parameters
    ----------
    watched
        What is believed about learners and jobs, and who watches.
    append
        Applies a record to the state, and puts it into the journal.
    on_cancel
        Called when somebody asks for the end of the run.
    on_command
        Does what else somebody wants of the run, and returns what became of it.
    """

    def __init__(
        self,
        watched: WatchedState,
        append: Callable[[events.AnyRecord], None],
        on_cancel: Callable[[], None],
        on_command: Callable[[messages.CommandRequest], messages.CommandResult],
    ) -> None:
        self._watched = watched
        self._state = watched.state
        self._append = append
        self._on_cancel = on_cancel
        self._on_command = on_command
        #: The last request of each job, by id, and its answer.
        self._last: dict[str, tuple[messages.JobIdentity, int, messages.Answer]] = {}
        #: Versions of the package that jobs run, as far as that was said.
        self._versions = {__version__}
        #: Whether jobs are told to stop.
        self.is_stopping = False
        #: The last status of each learner, by index.
        self.figures: dict[int, messages.Figures] = {}
        #: When each learner's job was last heard of, in seconds since the epoch.
        self.last_seen: dict[int, float] = {}

    def stop(self) -> None:
        """Tell jobs to stop from now on."""
        self.is_stopping = True

    def handle(self, request: messages.Request) -> messages.Answer:
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

    def answer(self, message: messages.Message) -> messages.Answer:
        """Return the answer to a message that has not been answered before."""
        match message:
            case messages.Hello():
                return self._hello(message)
            case messages.CancelRun():
                self._on_cancel()
                return messages.Accepted()
            case messages.CommandRequest():
                return self._on_command(message)
            case messages.Ping():
                return messages.Accepted()
            case _:
                return self._about_attempt(message)

    def _about_attempt(self, message: messages.Status | messages.Report) -> messages.Answer:
        if message.attempt.learner >= len(self._state.learners):
            return messages.Superseded()
        entry = self._state.learners[message.attempt.learner]
        match message:
            case messages.Status():
                return self._status(message, entry)
            case messages.Done():
                return self._done(message, entry)
            case messages.Failed():
                return self._failed(message, entry)
            case messages.Released():
                return self._released(message, entry)

    def _hello(self, hello: messages.Hello) -> messages.Answer:  # noqa: PLR0911  one line a case
        state = self._state
        self._note_version(hello)
        if hello.number >= len(state.learners):
            return messages.NothingLeft()
        self._watched.end_pauses(time.time())
        job = state.jobs.get(hello.job.job_id)
        if state.is_over(hello.job) or (job is not None and hello.job.restarts < job.restarts):
            # The scheduler has ended this job, or started it again elsewhere.
            return messages.Superseded()
        if hello.holding is not None:
            return self._let_go_on(hello, hello.holding)
        if self.is_stopping:
            return messages.Stop()
        if job is not None and job.learner is not None:
            entry = state.learners[job.learner]
            if entry.job == hello.job:
                return messages.Assigned(entry.current_attempt)
            return self._assign(entry, hello)  # requeued: it gets its learner back
        index = state.learners.next_ready(hello.number, self._had_before(job, hello.job))
        if index is None:
            return self._send_away(hello)
        return self._assign(state.learners[index], hello)

    def _note_version(self, hello: messages.Hello) -> None:
        """Say once of each other version that a job runs it: after an update, jobs go on."""
        if hello.version not in self._versions:
            self._versions.add(hello.version)
            log.warning(
                "Job %s runs adaptive_scheduler %s, and its manager %s. If it is not understood, "
                "its points are safe: it computes on as if nobody answered. To have all jobs run "
                "this version, cancel it: another one is submitted.",
                hello.job_name,
                hello.version or "(an earlier version)",
                __version__,
            )

    def _had_before(self, job: JobEntry | None, identity: messages.JobIdentity) -> int | None:
        """Return the learner that a job had before it was put back into the queue."""
        before = None if job is None else self._state.last_process(job)
        if job is None or before is None or before == identity:
            return None
        return job.last_learner

    def _send_away(self, hello: messages.Hello) -> messages.Answer:
        """Tell a job that nothing is left for it; record that once."""
        job_id, restarts = hello.job.job_id, hello.job.restarts
        is_known = job_id in self._state.leaving and self._state.jobs[job_id].restarts == restarts
        if not is_known:
            self._append(
                events.NothingLeft(
                    time=time.time(),
                    job=hello.job,
                    job_name=hello.job_name,
                    job_number=hello.number,
                )
            )
        return messages.NothingLeft()

    def _let_go_on(self, hello: messages.Hello, holding: messages.Attempt) -> messages.Answer:
        """Let a job go on that was not heard for a while, unless its learner went elsewhere."""
        if holding.learner >= len(self._state.learners):
            return messages.Superseded()
        entry = self._state.learners[holding.learner]
        if entry.is_held_by(hello.job, holding.number):
            return messages.Stop() if self._is_to_stop(entry) else messages.Assigned(holding)
        if entry.state == CANCELLED and holding.number >= entry.attempt:
            return messages.Stop()  # nobody else has it: what was computed is to be saved
        if entry.state == RUNNING and entry.job == hello.job:
            return messages.Assigned(
                entry.current_attempt
            )  # it has not heard its attempt's new number
        can_be = holding.number <= entry.attempt + _MOST_UNHEARD
        if entry.state in (READY, DELAYED) and can_be:
            return self._assign(entry, hello, at_least=holding.number)
        return messages.Superseded()

    def _assign(
        self, entry: LearnerEntry, hello: messages.Hello, *, at_least: int = 1
    ) -> messages.Answer:
        self._append(
            events.Assigned(
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
        return messages.Assigned(self._state.learners[entry.index].current_attempt)

    def _status(self, status: messages.Status, entry: LearnerEntry) -> messages.Answer:
        if not entry.is_held_by(status.job, status.attempt.number):
            return messages.Superseded()
        self.figures[entry.index] = status.figures
        self.last_seen[entry.index] = time.time()
        self._watched.touch((entry.index,))
        if (trouble := status.trouble or "") != entry.trouble:
            self._append(events.Troubled(time=time.time(), learner=entry.index, text=trouble))
        return messages.Stop() if self._is_to_stop(entry) else messages.Accepted()

    def _is_to_stop(self, entry: LearnerEntry) -> bool:
        """Whether the job that has a learner is to save and let go of it."""
        return self.is_stopping or entry.is_cancelled

    def _done(self, done: messages.Done, entry: LearnerEntry) -> messages.Answer:
        # A job that was given up too early and made it all the same is done, too.
        is_free = entry.state in (READY, DELAYED, CANCELLED)
        if is_free or entry.is_held_by(done.job, done.attempt.number):
            npoints = done.figures.get("npoints")
            self.figures[entry.index] = done.figures
            self.last_seen[entry.index] = time.time()
            self._append(
                events.Done(
                    time=time.time(),
                    learner=entry.index,
                    npoints=npoints if isinstance(npoints, int) else None,
                )
            )
            return messages.Accepted()
        return messages.Accepted() if entry.state == DONE else messages.Superseded()

    def _failed(self, failed: messages.Failed, entry: LearnerEntry) -> messages.Answer:
        if entry.is_held_by(failed.job, failed.attempt.number):
            self._append(
                events.Failed(
                    time=time.time(),
                    learner=entry.index,
                    error=failed.error,
                    traceback=failed.traceback,
                )
            )
        return messages.Accepted()

    def _released(self, released: messages.Released, entry: LearnerEntry) -> messages.Answer:
        if entry.is_held_by(released.job, released.attempt.number):
            self._append(
                events.Released(time=time.time(), learner=entry.index, reason=released.reason)
            )
        return messages.Accepted()
