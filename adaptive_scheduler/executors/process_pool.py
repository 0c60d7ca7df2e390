"""The standard library's pool of processes."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any

from adaptive_scheduler.executors.base import PoolExecutor
from adaptive_scheduler.executors.worker import evaluate, portable, start_worker


class _Pool(ProcessPoolExecutor):
    """A pool whose workers can be killed, whatever they are doing."""

    def kill(self) -> None:
        """End all workers at once."""
        workers = list((self._processes or {}).values())
        for worker in workers:
            worker.kill()
        # One that was sending a result has sent half of it. The thread that reads it
        # waits for the rest, and Python for the thread: no rest comes if nobody can send.
        self._result_queue._writer.close()  # type: ignore[attr-defined]  # noqa: SLF001
        self.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.join()


class ProcessPool(PoolExecutor):
    """Forked processes, which share with the job what is in memory already.

    The function is not even pickled: a closure over a large array costs
    nothing to send and is not held twice.
    """

    def _make_pool(self) -> Executor:
        return _Pool(
            self.n_workers,
            mp_context=multiprocessing.get_context("fork"),
            initializer=start_worker,
            initargs=(self.function, self.initializer),
        )

    def _submit_to(self, pool: Executor, x: Any) -> Future[Any]:
        return pool.submit(evaluate, portable(x))

    def _kill(self, pool: Executor) -> None:
        if isinstance(pool, _Pool):
            pool.kill()
