"""What executors share whose workers are no children of the job's process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeAlias

from adaptive_scheduler.executors.base import FunctionExecutor, lose
from adaptive_scheduler.executors.worker import Preparation

#: Has a worker evaluate the function, and sees that `settle` hears of it.
Send: TypeAlias = Callable[[Future[Any], Any], None]


class RemoteExecutor(FunctionExecutor):
    """Workers that take a while to start; points that come earlier wait.

    Unlike `submit`, what tells how evaluations end may be called in any thread.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        n_workers: int,
        initializer: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(function, n_workers)
        self.preparation = Preparation.of(function, initializer)
        self._lock = threading.Lock()
        #: Evaluations that have no result yet, and their points.
        self._open: dict[Future[Any], Any] = {}
        self._send: Send | None = None
        self._is_closed = False

    def _submit(self, x: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            if self._is_closed:
                future.cancel()
                return future
            self._open[future] = x
            send = self._send
        if send is not None:
            send(future, x)
        return future

    def begin(self, send: Send) -> None:
        """Send the points that have waited for the workers, and all others."""
        with self._lock:
            if self._is_closed:
                return
            self._send = send
            waiting = list(self._open.items())
        for future, x in waiting:
            send(future, x)

    def settle(
        self, future: Future[Any], result: Any = None, error: BaseException | None = None
    ) -> None:
        """Pass on what has become of an evaluation; the first to say so is heard."""
        with self._lock:
            if self._open.pop(future, self) is self:
                return
        if not future.set_running_or_notify_cancel():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def lose(self, why: str) -> None:
        """Say that the workers are gone."""
        with self._lock:
            lose(self, why)

    def close(self) -> None:
        """Evaluate nothing more; what is being evaluated comes to nothing."""
        with self._lock:
            self._is_closed = True
            given_up, self._open = list(self._open), {}
        for future in given_up:
            future.cancel()
