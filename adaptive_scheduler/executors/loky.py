"""Processes of loky, which start from scratch, and serve one learner after another."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from adaptive_scheduler.executors.base import Workers
from adaptive_scheduler.executors.kinds import LOKY_START_METHODS
from adaptive_scheduler.executors.process_pool import Pool, PoolProcess
from adaptive_scheduler.executors.worker import Preparation

#: The name that users of 2.x know, and loky's own.
_LOKYS_NAMES = {"loky_int_main": "loky_init_main"}


class LokyWorkers(Workers):
    """Processes that share nothing with the job, for functions that a fork would break."""

    def __init__(self, n_workers: int, start_method: LOKY_START_METHODS = "loky") -> None:
        super().__init__(n_workers)
        self._start_method = _LOKYS_NAMES.get(start_method, start_method)
        #: Those that have nothing to do between two learners.
        self._kept: list[PoolProcess] = []

    def serve(
        self, function: Callable[[Any], Any], initializer: Callable[[], None] | None = None
    ) -> Loky:
        """Return an executor for the next learner."""
        return Loky(self, function, initializer)

    def acquire(self, owner: Loky) -> PoolProcess:
        """Return a process, one that is there already if possible."""
        from loky.backend import get_context

        if self._kept:
            process = self._kept.pop()
            process.owner = owner
            return process
        return PoolProcess(get_context(self._start_method), owner)

    def keep(self, processes: list[PoolProcess]) -> None:
        """Keep processes for the next learner."""
        for process in processes:
            process.owner = self
        self._kept += processes

    def answered(self, process: PoolProcess, answer: bytes) -> None:
        """Hear what nobody has asked for."""

    def died(self, process: PoolProcess) -> None:
        """Part with a process that has died between two learners."""
        self._kept.remove(process)

    def close(self) -> None:
        """End all workers."""
        kept, self._kept = self._kept, []
        for process in kept:
            process.kill()


class Loky(Pool):
    """What the processes are for one learner."""

    def __init__(
        self,
        workers: LokyWorkers,
        function: Callable[[Any], Any],
        initializer: Callable[[], None] | None,
    ) -> None:
        super().__init__(function, workers.n_workers)
        self._workers = workers
        self._preparation = pickle.dumps(
            Preparation.of(function, initializer), pickle.HIGHEST_PROTOCOL
        )

    def _acquire(self) -> PoolProcess:
        process = self._workers.acquire(self)
        process.send(self._preparation)
        return process

    def _release(self, idle: list[PoolProcess]) -> None:
        self._workers.keep(idle)
