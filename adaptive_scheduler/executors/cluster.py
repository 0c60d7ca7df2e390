"""A cluster of workers that a job starts and keeps, for one learner after another."""

from __future__ import annotations

import abc
import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler._common.scratch import remove_scratch, temporary_folder
from adaptive_scheduler.executors.base import Workers
from adaptive_scheduler.executors.remote import RemoteExecutor

if TYPE_CHECKING:
    from adaptive_scheduler.executors import WorkerLayout

#: Seconds between two looks whether the workers' programs still run.
_PAUSE = 0.5
#: Seconds that an evaluation which nobody waits for gets to end, before its worker is ended.
GRACE = 2.0


class Cluster(Workers):
    """Workers that are there from the first learner of a job to its end.

    All that speaks with them runs on an event loop of its own, in a thread:
    the packages of others may take their time. When they are lost, so is the
    attempt, and the next one gets others.

    Parameters
    ----------
    layout
        The cores, and how programs are started on them.
    n_workers
        How many evaluations run at once.
    """

    name: str

    def __init__(self, layout: WorkerLayout, n_workers: int) -> None:
        super().__init__(n_workers)
        self._layout = layout
        self._loop = asyncio.new_event_loop()
        self._news = asyncio.Event()
        self._wanted: RemoteExecutor | None = None
        self._served: RemoteExecutor | None = None
        self._is_closing = False
        self._thread: threading.Thread | None = None

    def serve(
        self, function: Callable[[Any], Any], initializer: Callable[[], None] | None = None
    ) -> RemoteExecutor:
        """Return an executor for the next learner."""
        executor = RemoteExecutor(function, self.n_workers, initializer)
        if self._thread is None:
            # No daemon: the job saves at once, and ends when its workers have.
            self._thread = threading.Thread(target=self._work, name=self.name)
            self._thread.start()
        self._tell(executor)
        return executor

    def close(self) -> None:
        """Have all workers end, whatever they are doing, without waiting for them."""
        self._tell(None)
        if self._thread is None:
            self._loop.close()
        else:
            # At once: the job may be killed before all workers have ended.
            remove_scratch(self._layout.scratch)

    def join(self) -> None:
        """Return when all workers have ended, after `close`."""
        if self._thread is not None:
            self._thread.join()

    def _tell(self, executor: RemoteExecutor | None) -> None:
        def tell() -> None:
            self._wanted = executor
            self._is_closing = executor is None
            self._news.set()

        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(tell)

    # In the thread.

    def _work(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._open_again_and_again())

    async def _open_again_and_again(self) -> None:
        while not self._is_closing:
            if (first := self._unserved) is None:
                await self._pause()
                continue
            try:
                with temporary_folder(self._layout.scratch) as scratch:
                    await self._open(scratch)
            except Exception as error:  # noqa: BLE001  whatever others raise ends the attempt
                for executor in {first, self._served or first}:
                    executor.lose(f"The workers of {self.name} were lost: {error}")
                if self._wanted is first:
                    self._served = first

    @property
    def _unserved(self) -> RemoteExecutor | None:
        """The executor of a learner that is to be served, and isn't yet."""
        return self._wanted if self._wanted is not self._served else None

    @abc.abstractmethod
    async def _open(self, scratch: Path) -> None:
        """Start workers, and have them serve learners until the end, or until others are needed."""

    async def _pause(self) -> None:
        """Wait for news, but not for long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), _PAUSE)
        self._news.clear()
