"""How a run is steered while it goes on."""

from __future__ import annotations

import abc
import concurrent.futures
import shlex
import threading
import time
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    RunFolderLockedError,
)
from adaptive_scheduler.protocol import messages
from adaptive_scheduler.run_folder.commands import checked, in_words, records_of, to_retry
from adaptive_scheduler.run_folder.models import DONE, FAILED
from adaptive_scheduler.server_support.event_loop import event_loop
from adaptive_scheduler.server_support.run_report import RunReport

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.state import RunState


class RunControl(RunReport):
    """The side of a `RunManager` that steers it.

    All of it may be called from any thread, answers at once, and does no harm
    when it is called twice. It is written down: a run that is picked up again
    is as it was left.
    """

    def __init__(self) -> None:
        super().__init__()
        self._restarting = threading.Lock()

    @abc.abstractmethod
    def _restart(self, retry: Collection[int]) -> None:
        """Start the run again after its end; these learners get new tries."""

    def pause(self) -> None:
        """Submit nothing new until `resume`.

        Jobs that are in the queue or run go on, and take one learner after the other.

        Raises
        ------
        AdaptiveSchedulerError
            If this manager doesn't manage the run now.
        """
        event_loop.call(self._command, "pause")

    def resume(self) -> None:
        """Submit what is missing again, see `pause`.

        Raises
        ------
        AdaptiveSchedulerError
            If this manager doesn't manage the run now.
        """
        event_loop.call(self._command, "resume")

    @property
    def is_paused(self) -> bool:
        """Whether nothing new is submitted, see `pause`."""
        return event_loop.call(lambda: self._state().is_paused)

    def cancel_learners(self, learners: Iterable[int]) -> int:
        """Cancel the jobs that have these learners, which no job runs then until `retry`.

        Jobs save first. Learners that depend on these are cancelled, too.

        Parameters
        ----------
        learners
            Their numbers; those that are done are passed over.

        Returns
        -------
        int
            How many learners are cancelled by this call, those that
            depend on them not counted.

        Raises
        ------
        AdaptiveSchedulerError
            If this manager doesn't manage the run now.
        InvalidInputError
            If there is no such learner.
        """
        return event_loop.call(self._command, "cancel", self._checked(learners))

    def retry(self, learners: Iterable[int] | None = None) -> int:
        """Run learners again that were given up or cancelled, or wait after a failure.

        What they depend on comes along. A run that has ended because learners
        were given up is started again.

        Parameters
        ----------
        learners
            Their numbers; all of them if not given.

        Returns
        -------
        int
            How many learners are tried again because of this call.

        Raises
        ------
        AdaptiveSchedulerError
            If this manager doesn't manage the run now, or it was cancelled.
        InvalidInputError
            If there is no such learner.
        """
        wanted = None if learners is None else self._checked(learners)
        with self._restarting:
            if self._is_managing() and event_loop.call(self._is_going_on):
                return event_loop.call(self._command, "retry", wanted)
            return self._retry_after_the_end(wanted)

    def _checked(self, learners: Iterable[int]) -> list[int]:
        return checked(learners, len(self.learners), self.job_name)

    # On the event loop.

    def _state(self) -> RunState:
        return self.database_manager.state

    def _is_going_on(self) -> bool:
        return not self.job_manager.has_ended

    def _command(self, command: messages.Command, learners: Iterable[int] | None = None) -> int:
        """Do what a command says, and return how many records that took."""
        self._check_that_we_manage()
        records = records_of(command, self._state(), learners, time.time())
        for record in records:
            self.database_manager.record.append(record)
        if command in ("cancel", "retry"):
            self.job_manager.choose_unwanted()
        return len(records)

    def _steer(self, steer: messages.Steer) -> messages.Steered:
        """Do what somebody outside of this process wants."""
        try:
            wanted = None if steer.learners is None else self._checked(steer.learners)
            n = self._command(steer.command, wanted)
            is_about_learners = steer.command in ("retry", "cancel")
            return messages.Steered(in_words(steer.command, n if is_about_learners else None))
        except AdaptiveSchedulerError as error:
            return messages.Steered(str(error), is_refused=True)

    # Who manages.

    def _is_managing(self) -> bool:
        return self.task is not None and not self.task.done()

    def _check_that_we_manage(self) -> None:
        """Refuse to steer a run that is not ours, or not under way."""
        if self._is_managing() and self.database_manager.task is not None:
            if self._is_going_on():
                return
            raise AdaptiveSchedulerError(f"Run '{self.job_name}' is over: start it again first.")
        self._refuse_if_managed_elsewhere()
        if self._is_managing():
            raise AdaptiveSchedulerError(f"Run '{self.job_name}' waits for another run to end.")
        raise AdaptiveSchedulerError(
            f"Run '{self.job_name}' is not under way ({self.status()}): call `start()` first."
        )

    def _refuse_if_managed_elsewhere(self) -> None:
        if holder := self.database_manager.other_holder():
            raise RunFolderLockedError(
                f"The run in '{self.run_folder.root}' is managed by {holder}: do it there. "
                "From here, `adaptive-scheduler pause`, `resume`, `retry` and `cancel` with "
                f"{shlex.quote(str(self.run_folder.root))} ask that manager to do it."
            )

    def _retry_after_the_end(self, wanted: Iterable[int] | None) -> int:
        if self.task is not None:
            concurrent.futures.wait([self.task])  # its last record may still be written
        status = self.status()
        if status not in ("failed", "finished"):
            event_loop.call(self._check_that_we_manage)
        state = self._state()
        chosen = to_retry(state, wanted)
        if not chosen and wanted is None and status == "failed":  # it never got that far
            chosen = [e.index for e in state.learners if e.state not in (DONE, FAILED)]
        if chosen:
            self._restart(chosen)
        return len(chosen)
