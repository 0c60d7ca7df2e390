"""The record of a run as it grows: by what jobs say, and by what the other managers find out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

from adaptive_scheduler.errors import RunFolderError
from adaptive_scheduler.protocol import messages
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.outbox import Outbox
from adaptive_scheduler.run_folder.outbox_reader import OutboxReader
from adaptive_scheduler.server_support.listeners import Listeners
from adaptive_scheduler.server_support.message_handler import MessageHandler
from adaptive_scheduler.server_support.record_view import RecordView

if TYPE_CHECKING:
    from adaptive_scheduler.learners.paths import FnameTypes
    from adaptive_scheduler.protocol.server import Server
    from adaptive_scheduler.run_folder.journal import Journal
    from adaptive_scheduler.run_folder.layout import RunFolder
    from adaptive_scheduler.scheduler.base import QueuedJob


class RecordKeeper(RecordView):
    """The side of a `DatabaseManager` that writes the record. All of it is on the event loop.

    The parameters are those of a `RecordView`.
    """

    def __init__(
        self,
        run_folder: RunFolder,
        fnames: Sequence[FnameTypes],
        groups: Sequence[Hashable],
        dependencies: Mapping[int, Sequence[int]],
    ) -> None:
        super().__init__(run_folder, fnames, groups, dependencies)
        #: Who is told what happens.
        self.listeners = Listeners()
        self.handler = self._make_handler()
        self.outbox = Outbox(run_folder.outbox)
        self.outbox_reader = OutboxReader(self.outbox, self._note_message, self.flushed)
        #: What is known of the jobs in the queue, by id, as of the last look.
        self.queue: dict[str, QueuedJob] = {}
        #: Tokens of submissions whose answer is awaited.
        self.submitting: set[str] = set()
        self._journal: Journal | None = None
        self._server: Server | None = None

    def _begin_state(self) -> None:
        super()._begin_state()
        self.handler = self._make_handler()

    def _make_handler(self) -> MessageHandler:
        return MessageHandler(self.state, self.record, self.listeners.cancel, self.listeners.steer)

    # What happens, and how it gets to the disk.

    def record(self, record: events.AnyRecord) -> None:
        """Let a record take effect, write it down soon, and tell who listens."""
        if self._journal is None:
            raise RunFolderError("The record of this run is not open; call `start()` first.")
        self.state.apply(record)
        self._journal.append(record)
        if self._server is not None:
            self._server.commit_soon()
        self.listeners.change()

    async def flushed(self, patience: float | None = None) -> bool:
        """Wait until all that was recorded lies on disk, or for some seconds; return whether."""
        if self._server is not None:
            try:
                await asyncio.wait_for(self._server.flushed(), patience)
            except TimeoutError:
                return False
        return True

    @property
    def disk_trouble(self) -> str:
        """What can't be read or written in the run folder at the moment; empty if all can."""
        error = None if self._server is None else self._server.disk_error
        if error is not None:
            return f"The journal can't be written: {error}"
        return self.outbox_reader.trouble

    # What jobs say.

    async def read_outbox(self) -> None:
        """Handle what jobs have left while nobody listened."""
        await self.outbox_reader.read()

    def _note_message(self, message: messages.Message) -> None:
        self.handler.answer(message)

    def _handle(self, request: messages.Request) -> messages.Answer:
        answer = self.handler.handle(request)
        if isinstance(answer, messages.NothingLeft | messages.Stop):
            self.listeners.hurry()
        return answer

    def _confirm(self, request: messages.Request, answer: messages.Answer) -> bool:
        """Take an assignment back if a job that could not reach us has claimed the learner.

        The record of the assignment is on disk, and such a job reads the
        journal after it has left its claim: one of the two sees the other.
        """
        if not isinstance(answer, messages.Assigned) or not isinstance(
            request.message, messages.Hello
        ):
            return True
        if request.message.holding is not None or not self.outbox.is_claimed(answer.attempt):
            return True
        entry, job = self.state.learners[answer.attempt.learner], request.message.job
        if entry.is_held_by(job, answer.attempt.number):  # it may have been told otherwise since
            self.record(
                events.Released(
                    time=time.time(), learner=entry.index, reason="Claimed by another job."
                )
            )
        self.handler.forget(job.job_id)
        return False
