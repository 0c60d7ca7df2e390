"""Loky's pool of processes, whose workers start from scratch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import cloudpickle

from adaptive_scheduler.executors.base import PoolExecutor
from adaptive_scheduler.executors.worker import evaluate, portable, start_worker
from adaptive_scheduler.resources import LOKY_START_METHODS

#: The name that users of 2.x know, and loky's own.
_LOKYS_NAMES = {"loky_int_main": "loky_init_main"}


class Loky(PoolExecutor):
    """Processes that share nothing with the job, for functions that a fork would break."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        n_workers: int,
        initializer: Callable[[], None] | None = None,
        *,
        start_method: LOKY_START_METHODS = "loky",
    ) -> None:
        self._start_method = _LOKYS_NAMES.get(start_method, start_method)
        self._pickled = (cloudpickle.dumps(function), cloudpickle.dumps(initializer))
        super().__init__(function, n_workers, initializer)

    def _make_pool(self) -> Executor:
        from loky import ProcessPoolExecutor
        from loky.backend import get_context

        pool: Executor = ProcessPoolExecutor(
            self.n_workers,
            context=get_context(self._start_method),
            initializer=start_worker,
            initargs=self._pickled,
        )
        return pool

    def _submit_to(self, pool: Executor, x: Any) -> Future[Any]:
        return pool.submit(evaluate, portable(x))

    def _kill(self, pool: Executor) -> None:
        end: Callable[..., None] = pool.shutdown  # loky's has an option more
        end(wait=True, kill_workers=True)
