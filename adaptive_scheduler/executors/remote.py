"""What executors share whose workers are no children of the job's process."""

from __future__ import annotations

import abc
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

import cloudpickle

from adaptive_scheduler.executors.base import FunctionExecutor
from adaptive_scheduler.executors.worker import WorkerError, start_worker


class Preparation(NamedTuple):
    """All that a worker needs once, in a form that any pickler takes."""

    function: bytes
    initializer: bytes
    sys_path: list[str]

    def apply(self) -> None:
        """Prepare the process that this runs in."""
        start_worker(self.function, self.initializer, self.sys_path)


class RemoteExecutor(FunctionExecutor):
    """Workers that take a while to start; points that come earlier wait.

    When the workers are lost, so are all evaluations: the attempt ends, with
    what was lost in its report.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        n_workers: int,
        initializer: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(function, n_workers, initializer)
        self._lock = threading.Lock()
        #: Evaluations that have no result yet, and their points.
        self._open: dict[Future[Any], Any] = {}
        self._is_ready = False
        self._error: WorkerError | None = None

    def _preparation(self) -> Preparation:
        pickled = cloudpickle.dumps(self.function), cloudpickle.dumps(self.initializer)
        return Preparation(*pickled, list(sys.path))

    @abc.abstractmethod
    def _send(self, future: Future[Any], x: Any) -> None:
        """Have a worker evaluate the function, and see that `_settle` hears of it."""

    def _submit(self, x: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            if self._error is not None:
                future.set_exception(self._error)
                return future
            self._open[future] = x
            must_wait = not self._is_ready
        if not must_wait:
            self._send(future, x)
        return future

    def _begin(self) -> None:
        """Send the points that have waited for the workers."""
        with self._lock:
            self._is_ready = True
            waiting = list(self._open.items())
        for future, x in waiting:
            self._send(future, x)

    def _settle(
        self, future: Future[Any], result: Any = None, error: BaseException | None = None
    ) -> None:
        """Pass on what has become of an evaluation; the first to say so is heard."""
        with self._lock:
            if future not in self._open:
                return
            del self._open[future]
        if not future.set_running_or_notify_cancel():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def _lose(self, why: str) -> None:
        """Fail all evaluations, and those that are yet to come."""
        error = WorkerError(why)
        with self._lock:
            self._error = self._error or error
            lost = list(self._open)
        for future in lost:
            self._settle(future, error=error)
