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
    InvalidInputError,
    RunFolderLockedError,
)
from adaptive_scheduler.protocol import messages
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.retrying import to_retry
from adaptive_scheduler.run_folder.state import DONE, FAILED
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
        event_loop.call(self._note_paused, events.Paused)

    def resume(self) -> None:
        """Submit what is missing again, see `pause`.

        Raises
        ------
        AdaptiveSchedulerError
            If this manager doesn't manage the run now.
        """
        event_loop.call(self._note_paused, events.Resumed)

    @property
    def is_paused(self) -> bool:
        """Whether nothing new is submitted, see `pause`."""
        return event_loop.call(lambda: self._state().is_paused)

    def cancel_learners(self, learners: Iterable[int]) -> int:
        """Cancel the jobs that have these learners, which are then left alone until `retry`.

        Jobs save first. Learners that depend on these are left alone, too.

        Parameters
        ----------
        learners
            Their numbers; those that are done are passed over.

        Returns
        -------
        int
            How many learners are left alone because of this call, those that
            depend on them not counted.

        Raises
        ------
        AdaptiveSchedulerError
            If this manager doesn't manage the run now.
        InvalidInputError
            If there is no such learner.
        """
        return event_loop.call(self._cancel_learners, self._checked(learners))

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
                return event_loop.call(self._retry, wanted)
            return self._retry_after_the_end(wanted)

    def _checked(self, learners: Iterable[int]) -> list[int]:
        indices = list(dict.fromkeys(learners))
        for index in indices:
            if isinstance(index, bool) or index not in range(len(self.learners)):
                raise InvalidInputError(
                    f"There is no learner {index!r} in run '{self.job_name}': they are numbered "
                    f"from 0 to {len(self.learners) - 1}."
                )
        return indices

    # On the event loop.

    def _state(self) -> RunState:
        return self.database_manager.state

    def _is_going_on(self) -> bool:
        return not self.job_manager.has_ended

    def _note_paused(self, kind: type[events.Paused | events.Resumed]) -> None:
        self._check_that_we_manage()
        if self._state().is_paused != (kind is events.Paused):
            self.database_manager.record(kind(time=time.time()))

    def _cancel_learners(self, wanted: Iterable[int]) -> int:
        self._check_that_we_manage()
        entries = [self._state().learners[index] for index in wanted]
        chosen = [e.index for e in entries if e.state != DONE and not e.is_cancelled]
        for index in chosen:
            self.database_manager.record(events.Cancelled(time=time.time(), learner=index))
        self.job_manager.choose_unwanted()
        return len(chosen)

    def _retry(self, wanted: Iterable[int] | None) -> int:
        self._check_that_we_manage()
        chosen = to_retry(self._state(), wanted)
        for index in chosen:
            self.database_manager.record(events.Retried(time=time.time(), learner=index))
        self.job_manager.choose_unwanted()
        return len(chosen)

    def _steer(self, steer: messages.Steer) -> messages.Steered:
        """Do what somebody outside of this process wants."""
        try:
            wanted = None if steer.learners is None else self._checked(steer.learners)
            return messages.Steered(self._fulfil(steer.wish, wanted))
        except AdaptiveSchedulerError as error:
            return messages.Steered(str(error), is_refused=True)

    def _fulfil(self, wish: messages.Wish, wanted: list[int] | None) -> str:
        match wish:
            case "pause":
                self._note_paused(events.Paused)
                return "It submits no new jobs until it is resumed; those that there are go on."
            case "resume":
                self._note_paused(events.Resumed)
                return "It submits jobs again."
            case "retry":
                return f"Learners that it tries again: {self._retry(wanted)}."
            case "cancel":
                return f"Learners that it cancels: {self._cancel_learners(wanted or ())}."

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
