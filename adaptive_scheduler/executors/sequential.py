"""One evaluation at a time, in the job's own process."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from adaptive_scheduler.executors.base import FunctionExecutor, Workers
from adaptive_scheduler.executors.worker import FunctionError, WorkerError


class Sequential(FunctionExecutor):
    """A thread, so that the job still hears signals and saves while it evaluates.

    The thread is a daemon: a job that must end does not wait for it.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        initializer: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(function, 1)
        self._prepare = initializer
        self._points: queue.SimpleQueue[tuple[Future[Any], Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="sequential", daemon=True).start()

    def _evaluate(self, future: Future[Any], x: Any) -> None:
        self._points.put((future, x))

    def _work(self) -> None:
        error = ""
        while (item := self._points.get()) is not None:
            future, x = item
            if self._is_closed:
                future.cancel()
            if not future.set_running_or_notify_cancel():
                continue
            if self._prepare is not None:
                error = _error_of(self._prepare)
                self._prepare = None
            if error:
                future.set_exception(WorkerError(f"The job could not be prepared:\n{error}"))
                continue
            try:
                result = self.function(x)
            except BaseException as raised:  # noqa: BLE001  the user's own, passed on
                future.set_exception(FunctionError.of(raised, x))
            else:
                future.set_result(result)

    def close(self) -> None:
        """Evaluate no further points; an evaluation that runs now comes to nothing."""
        super().close()
        self._points.put(None)


class SequentialWorkers(Workers):
    """The job's own process: one evaluation at a time, on however many cores."""

    def __init__(self) -> None:
        super().__init__(1)

    def serve(
        self, function: Callable[[Any], Any], initializer: Callable[[], None] | None = None
    ) -> Sequential:
        """Return an executor for the next learner."""
        return Sequential(function, initializer)


def _error_of(prepare: Callable[[], None]) -> str:
    """Call the user's initializer, and return the traceback of what it raised, if anything."""
    try:
        prepare()
    except BaseException:  # noqa: BLE001  the user's own, passed on with each point
        return traceback.format_exc()
    return ""
