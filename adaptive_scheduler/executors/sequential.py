"""One evaluation at a time, in the job's own process."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from adaptive_scheduler.executors.base import FunctionExecutor
from adaptive_scheduler.executors.worker import FunctionError


class Sequential(FunctionExecutor):
    """A thread, so that the job still hears signals and saves while it evaluates.

    The thread is a daemon: a job that must end does not wait for it.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        n_workers: int = 1,
        initializer: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(function, 1, initializer)
        del n_workers  # one evaluation at a time, on however many cores
        self._points: queue.SimpleQueue[tuple[Future[Any], Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="sequential", daemon=True).start()

    def _submit(self, x: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._points.put((future, x))
        return future

    def _work(self) -> None:
        prepare = self.initializer
        while (item := self._points.get()) is not None:
            future, x = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                if prepare is not None:
                    prepare()
                    prepare = None
                result = self.function(x)
            except Exception as error:  # noqa: BLE001  the user's own, passed on
                future.set_exception(FunctionError.of(error, x))
            else:
                future.set_result(result)

    def close(self) -> None:
        """Take no further points; an evaluation that runs now comes to nothing."""
        self._points.put(None)
