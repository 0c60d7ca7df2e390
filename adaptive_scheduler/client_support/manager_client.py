"""A job's dealings with the manager, or with the run folder while nobody answers."""

from __future__ import annotations

import asyncio
import enum
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from adaptive_scheduler.client_support.fence import Fence, FollowedRun
from adaptive_scheduler.client_support.job_log import note
from adaptive_scheduler.client_support.place import Place
from adaptive_scheduler.errors import AdaptiveSchedulerError, UntrustedFileError
from adaptive_scheduler.protocol import messages
from adaptive_scheduler.protocol.client import ManagerConnection
from adaptive_scheduler.run_folder.outbox import Outbox
from adaptive_scheduler.run_folder.spec import RunSpec
from adaptive_scheduler.version import __version__

#: Seconds after which a job finds out whether anybody listens.
_LITTLE_PATIENCE = 3.0
#: Seconds that it then waits for a manager that may be busy, before it goes on alone.
_PATIENCE = 30.0
#: Seconds for which a run folder that can't be read or written is tried again, first after
#: `_FIRST_DISK_PAUSE`, which doubles up to `_LONGEST_DISK_PAUSE`.
_DISK_PATIENCE = 600.0
_FIRST_DISK_PAUSE = 1.0
_LONGEST_DISK_PAUSE = 60.0

T = TypeVar("T")


class Verdict(enum.Enum):
    """Whether a job may go on with its learner."""

    GO_ON = enum.auto()
    SUPERSEDED = enum.auto()
    STOP = enum.auto()


def hello(
    job: messages.JobIdentity,
    job_name: str,
    log_fname: str,
    holding: messages.Attempt | None = None,
) -> messages.Hello:
    """Return what a job says when it asks for a learner: who and where it is."""
    return messages.Hello(
        job=job,
        job_name=job_name,
        number=int(job_name.rpartition("-")[2]),
        host=socket.gethostname(),
        pid=os.getpid(),
        log_fname=log_fname,
        holding=holding,
        version=__version__,
    )


def newest_spec(
    run_folder: Path, spec: RunSpec, read: Callable[[Path], RunSpec] = RunSpec.read
) -> RunSpec:
    """Return what the run is now, since a new manager may have declared it anew.

    Where that can't be read, the `spec` that is known still counts. By default it comes
    without its functions, which a claim does not need.
    """
    try:
        return read(run_folder)
    except AdaptiveSchedulerError as error:
        note("the run's spec can't be read again", level=logging.WARNING, error=str(error))
        return spec


class ManagerClient:
    """Gets learners for a job, and delivers what it has to report.

    Parameters
    ----------
    folder
        The run folder.
    spec
        What is the same for all jobs.
    job, number
        Who this job is.
    n_learners
        How many learners there are.
    place
        The folders that this job works in.
    """

    def __init__(
        self,
        folder: Path,
        spec: RunSpec,
        job: messages.JobIdentity,
        number: int,
        n_learners: int,
        *,
        place: Place,
    ) -> None:
        self.job = job
        self.number = number
        self.job_name = f"{spec.job_name}-{number}"
        self.holding: messages.Attempt | None = None
        self.is_answered = True
        self._folder = folder
        self._spec = spec
        self._run = FollowedRun(spec, n_learners)
        self._place = place
        self._connection = ManagerConnection(spec.run_folder.connection)
        self._outbox = Outbox(spec.run_folder.outbox)
        self._tried: set[int] = set()
        #: Reports that went into the outbox, and that no manager has been told since.
        self._left: list[messages.Report] = []
        self._fence = self._new_fence()

    def _new_fence(self) -> Fence:
        return Fence(self._spec.run_folder.journal, self._outbox, self.job)

    def _hello(self, holding: messages.Attempt | None) -> messages.Hello:
        log = self._spec.run_folder.log_of(self.job_name, self.job.job_id)
        return hello(self.job, self.job_name, str(log), holding)

    async def next_attempt(self) -> messages.Attempt | None:
        """Return the learner that this job has now; None if nothing is left for it.

        Raises
        ------
        OSError
            If nobody answers, and the run folder can't be used for long.
        PlaceGoneError
            If nobody answers, and the run folder was moved or deleted.
        """
        self.holding = None
        self._fence = self._new_fence()  # what is written from now on may be about the next one
        self.holding = await self._while_disk_fails(self._ask_or_claim)
        if self.holding is not None:
            self._tried.add(self.holding.learner)
        return self.holding

    async def _ask_or_claim(self) -> messages.Attempt | None:
        answer = await self._ask(self._hello(None))
        if isinstance(answer, messages.Assigned) and self._left:
            await self._tell_what_was_left()
            answer = await self._ask(self._hello(None))
        if isinstance(answer, messages.Assigned) and self._has_left(answer.attempt):
            answer = None  # it is too busy to hear that this job is done with that one
        if answer is None:
            return await asyncio.to_thread(self._claim)
        return answer.attempt if isinstance(answer, messages.Assigned) else None

    async def status(self, figures: messages.Figures, trouble: str = "") -> Verdict:
        """Tell how far the learner is and what hinders it, and hear whether to go on."""
        if self.holding is None:
            return Verdict.STOP
        status = messages.Status(self.job, self.holding, figures, messages.clip(trouble) or None)
        answer = await self._ask(status)
        if isinstance(answer, messages.Superseded):
            # The manager may have thought that this job is gone: ask for the learner again.
            await self._tell_what_was_left()
            answer = await self._ask(self._hello(self.holding))
        match answer:
            case messages.Superseded() | messages.NothingLeft():
                return Verdict.SUPERSEDED
            case messages.Stop():
                return Verdict.STOP
            case messages.Assigned():
                self.holding = answer.attempt
        return Verdict.GO_ON

    def _has_left(self, attempt: messages.Attempt) -> bool:
        """Whether a report of an attempt lies in the outbox, and no manager was told it."""
        return any(report.attempt == attempt for report in self._left)

    async def _tell_what_was_left(self) -> None:
        """Tell a manager that has come back what it will read in the outbox, before it asks.

        Until then it takes learners of this job for unfinished, and gives them to others.
        """
        while self._left and await self._ask(self._left[0]) is not None:
            del self._left[0]

    def check_holding(self) -> None:
        """Look whether this job still has its learner. Blocks, for a moment only.

        Raises
        ------
        SupersededError
            If another job has it.
        """
        if self.holding is not None:
            self._fence.check(self.holding)

    async def report(self, message: messages.Report) -> None:
        """Deliver the end of an attempt, to the manager or to the outbox.

        Raises
        ------
        OSError
            If nobody answers, and the outbox can't be written for long.
        PlaceGoneError
            If nobody answers, and the run folder was moved or deleted.
        """

        async def deliver() -> None:
            if await self._ask(message) is None:
                await asyncio.to_thread(self._outbox.put, message)
                self._left.append(message)
                note("left a report in the outbox", report=type(message).__name__.lower())

        await self._while_disk_fails(deliver)
        self.holding = None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    async def _ask(self, message: messages.Message) -> messages.Answer | None:
        """Return the manager's answer, None if there is none; log where that changes."""
        fields = {}
        try:
            answer = await self._request(message)
        except UntrustedFileError as error:  # the job goes on without a manager
            answer, fields = None, {"error": str(error)}
        if (answer is not None) != self.is_answered:
            self.is_answered = answer is not None
            event = (
                "the manager answers again" if self.is_answered else "the manager does not answer"
            )
            note(event, level=logging.INFO if self.is_answered else logging.WARNING, **fields)
        return answer

    async def _request(self, message: messages.Message) -> messages.Answer | None:
        if not self.is_answered and await self._connection.is_refused():
            return None  # still nobody there: short learners need not wait for that each time
        answer = await self._connection.request(message, patience=_LITTLE_PATIENCE)
        if answer is None and self.is_answered and not await self._connection.is_refused():
            answer = await self._connection.request(message, patience=_PATIENCE)
        return answer

    def _claim(self) -> messages.Attempt | None:
        """Take a learner that the run folder says is free, its own first.

        The claim is on disk before the journal is read once more: of this job
        and a manager that can't be reached, one sees what the other did.
        """
        self._run.renew(newest_spec(self._folder, self._spec))
        given = self._run.given_attempt(self.job)
        if given is not None and given.learner not in self._tried:
            if not self._outbox.is_claimed(given):
                note("got a learner, though the answer was lost", learner=given.learner)
                return given
            self._tried.add(given.learner)
        for attempt in self._run.free_attempts(self.number):
            if attempt.learner in self._tried:
                continue
            if self._outbox.claim(attempt, self._hello(attempt)):
                self._tried.add(attempt.learner)
                if self._is_mine(attempt):
                    note("took a learner unasked", learner=attempt.learner)
                    return attempt
        return None

    def _is_mine(self, attempt: messages.Attempt) -> bool:
        """Whether a claim counts: if the manager was quicker, it is taken back."""
        is_mine = False
        try:
            is_mine = not self._run.was_assigned(attempt)
        finally:
            if not is_mine:
                self._outbox.unclaim(attempt)
        return is_mine

    async def _while_disk_fails(self, action: Callable[[], Awaitable[T]]) -> T:
        """Do what needs the run folder, again and again while that can't be read or written."""
        deadline = time.monotonic() + _DISK_PATIENCE
        pause = _FIRST_DISK_PAUSE
        while True:
            try:
                return await action()
            except OSError as error:
                if time.monotonic() + pause > deadline:
                    raise
                await asyncio.to_thread(self._place.check)
                note("the run folder can't be used", level=logging.ERROR, error=str(error))
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_DISK_PAUSE)
