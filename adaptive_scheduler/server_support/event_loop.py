"""The one event loop, in a daemon thread, on which all managers of a process run.

It is the only global state of this package. A notebook's own loop is deaf while
a cell runs; this one isn't. Public methods of the managers are plain functions
that hand over to it and may be called from any thread.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from adaptive_scheduler.server_support.queue_poller import QueuePollers

log = logging.getLogger(__name__)

#: Seconds that each run gets to leave when the process ends.
_PARTING = 90.0

P = ParamSpec("P")
T = TypeVar("T")


class ManagedRun(Protocol):
    """A run that this process manages."""

    def detach(self) -> None:
        """Stop managing, and leave the jobs as they are."""

    async def leave(self) -> None:
        """Be told, on the loop, that the process ends, and bring to an end what is under way."""


class DaemonThreads(concurrent.futures.ThreadPoolExecutor):
    """Runs each call in a daemon thread of its own.

    Python's own pools hold up the end of a process until their threads are
    idle, and take no more work then: a script that ends without `wait` could
    not even submit its jobs.
    """

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> concurrent.futures.Future[T]:
        """Call a function in a new thread."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()

        def call() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001  whoever waits for it gets it
                future.set_exception(error)

        threading.Thread(target=call, name="adaptive-scheduler-call", daemon=True).start()
        return future


class EventLoop:
    """An asyncio loop in a daemon thread, which starts when it is first used."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._runs: dict[Path, ManagedRun] = {}
        #: What was seen of the queues of schedulers.
        self.queues = QueuePollers()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop. A forked child gets one of its own."""
        return self._running_loop()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                self._loop = asyncio.new_event_loop()
                self._loop.set_default_executor(DaemonThreads())
                self._pid = os.getpid()
                self._runs = {}
                self.queues = QueuePollers()
                atexit.register(self._say_goodbye, self._pid)
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="adaptive-scheduler", daemon=True
                )
                self._thread.start()
            return self._loop

    @property
    def is_current(self) -> bool:
        """Whether the caller is on the loop."""
        return self._thread is threading.current_thread()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run a coroutine on the loop, and return its future at once."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for its result."""
        if self.is_current:
            coroutine.close()
            raise RuntimeError("This would wait for the event loop on the event loop.")
        return self.submit(coroutine).result()

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """Call a quick function on the loop and wait for its result.

        What it reads or changes can't change meanwhile.
        """
        if self.is_current:
            return function(*args)

        async def call() -> T:
            return function(*args)

        return self.submit(call()).result()

    def take_over(self, folder: Path, run: ManagedRun) -> None:
        """Let `run` manage a run folder instead of another manager in this process."""
        self._running_loop()  # a new loop has no runs: they must not be noted before it starts
        previous = self._runs.get(folder)
        if previous is not None and previous is not run:
            previous.detach()
        self._runs[folder] = run

    def give_up(self, folder: Path, run: ManagedRun) -> None:
        """Note that `run` manages its run folder no longer."""
        if self._runs.get(folder) is run:
            del self._runs[folder]

    def _say_goodbye(self, pid: int) -> None:
        if pid == os.getpid() and self._runs:
            self.run(_leave_all(list(self._runs.values())))


async def _leave_all(runs: Sequence[ManagedRun]) -> None:
    """Tell all runs at once; one that errs, or does not end, is no matter of the others."""

    async def leave(run: ManagedRun) -> None:
        try:
            await asyncio.wait_for(run.leave(), _PARTING)
        except TimeoutError:
            log.error("%r did not end what was under way, and is left as it is.", run)  # noqa: TRY400  all is said
        except Exception:  # the other runs must not suffer from it
            log.exception("%r could not end what was under way.", run)

    await asyncio.gather(*map(leave, runs))


#: The event loop of this process.
event_loop = EventLoop()
