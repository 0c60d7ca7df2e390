"""Pause, resume, retry and cancel: commands to a run that goes on, from whoever gives them."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.protocol import messages
from adaptive_scheduler.run_folder.commands import checked, in_words, records_of, to_retry
from adaptive_scheduler.run_folder.models import DONE, FAILED
from adaptive_scheduler.server_support.event_loop import event_loop

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.state import RunState
    from adaptive_scheduler.server_support.lifecycle import Lifecycle


class Steering:
    """Commands to a run that this process manages.

    Public methods may be called from any thread and are idempotent. What they do is
    recorded in the journal: a run that is picked up again is as it was left.
    Commands of other processes, which come as messages, go the same way.

    Parameters
    ----------
    lifecycle
        The life of the run.
    """

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._restarting = threading.Lock()
        lifecycle.answer_commands_by(self._answer)

    def pause(self) -> None:
        """Submit nothing new until `resume`, see `RunManager.pause`."""
        event_loop.call(self._command, "pause")

    def resume(self) -> None:
        """Submit what is missing again, see `RunManager.resume`."""
        event_loop.call(self._command, "resume")

    @property
    def is_paused(self) -> bool:
        """Whether nothing new is submitted, see `pause`."""
        return event_loop.call(lambda: self._state.is_paused)

    def cancel_learners(self, learners: Iterable[int]) -> int:
        """Cancel the jobs that have these learners, see `RunManager.cancel_learners`."""
        return event_loop.call(self._command, "cancel", self._checked(learners))

    def retry(self, learners: Iterable[int] | None = None) -> int:
        """Run learners again that failed or were cancelled, see `RunManager.retry`."""
        wanted = None if learners is None else self._checked(learners)
        with self._restarting:
            if self._lifecycle.is_under_way and event_loop.call(self._is_going_on):
                return event_loop.call(self._command, "retry", wanted)
            return self._retry_after_the_end(wanted)

    def _checked(self, learners: Iterable[int]) -> list[int]:
        return checked(learners, len(self._state.learners), self._lifecycle.name)

    @property
    def _state(self) -> RunState:
        return self._lifecycle.managers.database.state

    # On the event loop.

    def _is_going_on(self) -> bool:
        return not self._lifecycle.managers.jobs.has_ended

    def _command(self, command: messages.Command, learners: Iterable[int] | None = None) -> int:
        """Carry out a command, and return how many records that took."""
        self._lifecycle.check_managing()
        managers = self._lifecycle.managers
        records = records_of(command, self._state, learners, time.time())
        for record in records:
            managers.database.record.append(record)
        if command in ("cancel", "retry"):
            managers.jobs.choose_unwanted()
        return len(records)

    def _answer(self, request: messages.CommandRequest) -> messages.CommandResult:
        """Carry out the command of another process."""
        try:
            wanted = None if request.learners is None else self._checked(request.learners)
            n = self._command(request.command, wanted)
            is_about_learners = request.command in ("retry", "cancel")
            return messages.CommandResult(
                in_words(request.command, n if is_about_learners else None)
            )
        except AdaptiveSchedulerError as error:
            return messages.CommandResult(str(error), is_refused=True)

    # After the end.

    def _retry_after_the_end(self, wanted: Iterable[int] | None) -> int:
        if self._lifecycle.task is not None:
            concurrent.futures.wait([self._lifecycle.task])  # its last record may not be written
        status = self._lifecycle.status()
        if status not in ("failed", "finished"):
            event_loop.call(self._lifecycle.check_managing)
        state = self._state
        chosen = to_retry(state, wanted)
        if not chosen and wanted is None and status == "failed":  # it never got that far
            chosen = [e.index for e in state.learners if e.state not in (DONE, FAILED)]
        if chosen:
            self._lifecycle.start(retry=chosen)
        return len(chosen)
