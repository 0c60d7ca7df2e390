"""Forked processes, for each learner their own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

from adaptive_scheduler.executors.base import Workers
from adaptive_scheduler.executors.pool import Pool
from adaptive_scheduler.executors.pool_process import PoolProcess


class ProcessPool(Pool):
    """Forked processes, which share with the job what is in memory already.

    The function is not even pickled: a closure over a large array costs
    nothing to send and is not held twice.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        n_workers: int,
        initializer: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(function, n_workers)
        self._initializer = initializer

    def _hire(self) -> PoolProcess:
        return PoolProcess(
            multiprocessing.get_context("fork"),
            self,
            self.function,
            self._initializer,
            inherited=[process.channel for process in (*self._busy, *self._idle)],
        )


class ProcessPoolWorkers(Workers):
    """Processes that end with their learner: a fork has the function that there is by then."""

    def serve(
        self, function: Callable[[Any], Any], initializer: Callable[[], None] | None = None
    ) -> ProcessPool:
        """Return an executor for the next learner."""
        return ProcessPool(function, self.n_workers, initializer)

    def close(self) -> None:
        """Do nothing: the processes of a learner end with its executor."""
