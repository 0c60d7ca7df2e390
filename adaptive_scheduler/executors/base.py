"""What every executor is: a `concurrent.futures.Executor` for one function."""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any

from adaptive_scheduler.executors.worker import WorkerError

#: A point at which this many workers died is given up.
_MAX_DEATHS = 3


class FunctionExecutor(Executor, abc.ABC):
    """Evaluates one function, which travels once to each worker.

    Create and use it on the thread of a running event loop.

    Parameters
    ----------
    function
        What is evaluated.
    n_workers
        How many evaluations run at once.
    initializer
        Called in each worker before its first evaluation.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        n_workers: int,
        initializer: Callable[[], None] | None = None,
    ) -> None:
        self.function = function
        self.n_workers = n_workers
        self.initializer = initializer
        #: Why the job can't open another executor; empty if it can.
        self.spoilt = ""
        #: Called once, in any thread, when the first evaluation has returned.
        self.on_first_result: Callable[[], None] | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Evaluate the function at one point.

        Raises
        ------
        TypeError
            If it is another function than the workers have.
        """
        if fn is not self.function or kwargs or len(args) != 1:
            raise TypeError("This executor evaluates its own function, at one point.")
        future = self._submit(args[0])
        if self.on_first_result is not None:
            future.add_done_callback(self._note_first)
        return future

    def _note_first(self, future: Future[Any]) -> None:
        if not future.cancelled() and (tell := self.on_first_result) is not None:
            self.on_first_result = None
            tell()

    @abc.abstractmethod
    def _submit(self, x: Any) -> Future[Any]:
        """Evaluate the function at `x`."""

    @abc.abstractmethod
    def close(self) -> None:
        """End all workers, whatever they are doing."""


class PoolExecutor(FunctionExecutor):
    """An executor over a pool of processes that is replaced when a worker dies.

    The points that were being evaluated are evaluated again.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        n_workers: int,
        initializer: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(function, n_workers, initializer)
        self._loop = asyncio.get_running_loop()
        self._pool: Executor | None = self._make_pool()

    @abc.abstractmethod
    def _make_pool(self) -> Executor:
        """Return a new pool."""

    @abc.abstractmethod
    def _submit_to(self, pool: Executor, x: Any) -> Future[Any]:
        """Have a worker of `pool` evaluate the function."""

    @abc.abstractmethod
    def _kill(self, pool: Executor) -> None:
        """End the workers of `pool`."""

    def _submit(self, x: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._try(future, x, 0)
        return future

    def _try(self, future: Future[Any], x: Any, n_deaths: int) -> None:
        if self._pool is None or future.cancelled():
            future.cancel()
            return
        pool = self._pool
        try:
            inner = self._submit_to(pool, x)
        except BrokenExecutor:  # nobody has noticed yet: this point is not to blame
            self._replace(pool)
            inner = self._submit_to(self._pool, x)
        inner.add_done_callback(lambda done: self._settle(done, pool, future, x, n_deaths))

    def _settle(
        self, inner: Future[Any], pool: Executor, future: Future[Any], x: Any, n_deaths: int
    ) -> None:
        if inner.cancelled() or self._pool is None:
            future.cancel()
            return
        error = inner.exception()
        if isinstance(error, BrokenExecutor) and n_deaths + 1 < _MAX_DEATHS:
            # Workers are started by the loop's thread only: they die with it.
            self._loop.call_soon_threadsafe(self._retry, pool, future, x, n_deaths + 1)
        elif not future.set_running_or_notify_cancel():
            return
        elif isinstance(error, BrokenExecutor):
            future.set_exception(
                WorkerError(
                    f"{_MAX_DEATHS} workers died, one after another, while they evaluated the "
                    f"function at {x!r}: out of memory, perhaps, or a crash in compiled code."
                )
            )
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(inner.result())

    def _retry(self, pool: Executor, future: Future[Any], x: Any, n_deaths: int) -> None:
        self._replace(pool)
        self._try(future, x, n_deaths)

    def _replace(self, pool: Executor) -> None:
        if pool is self._pool:
            self._kill(pool)
            self._pool = self._make_pool()

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        pool, self._pool = self._pool, None
        if pool is not None:
            self._kill(pool)
