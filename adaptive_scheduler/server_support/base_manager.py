"""What all managers share: a life on the event loop."""

from __future__ import annotations

import abc
import asyncio
import concurrent.futures
from typing import TYPE_CHECKING

from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.server_support.event_loop import event_loop

if TYPE_CHECKING:
    from typing import Self


class BaseManager(abc.ABC):
    """A task on the event loop that is started once and can be cancelled.

    Attributes
    ----------
    task
        The future of the task; None before `start`.
    """

    def __init__(self) -> None:
        self.task: concurrent.futures.Future[None] | None = None

    @property
    def is_started(self) -> bool:
        """Whether `start` has been called."""
        return self.task is not None

    def start(self) -> Self:
        """Start managing.

        Raises
        ------
        AdaptiveSchedulerError
            If it was started before.
        """
        if self.task is not None:
            raise AdaptiveSchedulerError(f"This {type(self).__name__} has been started before.")
        self._setup()
        self.task = event_loop.submit(self._manage())
        return self

    def cancel(self) -> None:
        """Stop managing. Does nothing before `start` or after the end."""
        if self.task is not None:
            self.task.cancel()

    async def over(self) -> None:
        """Wait, on the event loop, for the end; raises what the task raised."""
        if self.task is not None:
            await asyncio.shield(asyncio.wrap_future(self.task))

    def state_of_task(self) -> str:
        """Return how the task is, in words."""
        return task_in_words(self.task)

    def _setup(self) -> None:  # noqa: B027  most managers have nothing to set up
        """Do, in the caller's thread, what must have worked before `start` returns."""

    @abc.abstractmethod
    async def _manage(self) -> None:
        """Manage until nothing is left to do."""


def task_in_words(task: concurrent.futures.Future[None] | None) -> str:
    """Return the state of the task of a manager; None has not been started."""
    if task is None:
        return "not yet started"
    if not task.done():
        return "running"
    if task.cancelled():
        return "cancelled"
    error = task.exception()
    return "finished" if error is None else f"failed: {error!r}"
