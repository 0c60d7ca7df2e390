"""The standard library's pool of processes."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any

from adaptive_scheduler.executors.base import PoolExecutor
from adaptive_scheduler.executors.worker import evaluate, portable, start_worker


class ProcessPool(PoolExecutor):
    """Forked processes, which share with the job what is in memory already.

    The function is not even pickled: a closure over a large array costs
    nothing to send and is not held twice.
    """

    def _make_pool(self) -> Executor:
        return ProcessPoolExecutor(
            self.n_workers,
            mp_context=multiprocessing.get_context("fork"),
            initializer=start_worker,
            initargs=(self.function, self.initializer),
        )

    def _submit_to(self, pool: Executor, x: Any) -> Future[Any]:
        return pool.submit(evaluate, portable(x))

    def _kill(self, pool: Executor) -> None:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.kill()
            process.join()
