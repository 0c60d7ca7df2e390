"""One look at a scheduler's queue serves all managers of this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from adaptive_scheduler.scheduler.base import BaseScheduler, QueuedJob

#: Is told when the queue was asked, in seconds since the epoch.
Listener: TypeAlias = Callable[[float], None]


@dataclass(frozen=True)
class Look:
    """The queue as it was at some time after it was asked.

    Attributes
    ----------
    asked_at
        When that was, in seconds since the epoch.
    queue
        The jobs in it, by id.
    """

    asked_at: float
    queue: Mapping[str, QueuedJob]


class QueuePoller:
    """The queue of one scheduler, and who wants to know of it. All of it is on the event loop."""

    def __init__(self) -> None:
        self.listeners: list[Listener] = []
        self._asking: asyncio.Task[Look] | None = None
        self._asked_at = 0.0

    async def look(self, scheduler: BaseScheduler, newer_than: float) -> Look:
        """Look at the queue, or return what another manager has seen just now.

        An error is shared, too: a scheduler in trouble is not asked by one
        manager after the other.

        Parameters
        ----------
        scheduler
            Who is asked.
        newer_than
            When the manager had its last look, in seconds since the epoch.

        Raises
        ------
        SchedulerUnavailableError
            If there was no answer that can be trusted.
        """
        if self._asking is None or not self._serves(scheduler.min_poll_interval, newer_than):
            self._asked_at = time.time()
            self._asking = asyncio.create_task(self._ask(scheduler, self._asked_at))
        return await asyncio.shield(self._asking)

    def _serves(self, min_poll_interval: float, newer_than: float) -> bool:
        """Whether the last answer, which may still be awaited, is as good as another."""
        is_young = time.time() < self._asked_at + min_poll_interval
        is_awaited = self._asking is not None and not self._asking.done()
        return self._asked_at > newer_than and (is_young or is_awaited)

    async def _ask(self, scheduler: BaseScheduler, asked_at: float) -> Look:
        queue = await asyncio.to_thread(scheduler.queue)
        for listener in self.listeners:
            listener(asked_at)
        return Look(asked_at, queue)


class QueuePollers:
    """The queues of all schedulers that managers of this process use now."""

    def __init__(self) -> None:
        self._queues: dict[Hashable, QueuePoller] = {}

    def join(self, scheduler: BaseScheduler, listener: Listener) -> QueuePoller:
        """Return the queue of a scheduler, and have a function called after each look at it."""
        queue = self._queues.setdefault(scheduler.queue_key, QueuePoller())
        queue.listeners.append(listener)
        return queue

    def leave(self, queue: QueuePoller, listener: Listener) -> None:
        """Undo `join`; a queue of which nobody wants to know is forgotten."""
        queue.listeners.remove(listener)
        if not queue.listeners:
            self._queues = {key: other for key, other in self._queues.items() if other is not queue}
