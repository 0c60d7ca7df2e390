"""What tests of executors on one machine share."""

from __future__ import annotations

import asyncio
import contextlib
import types
from pathlib import Path

import psutil

from adaptive_scheduler.executors import WorkerLayout, open_workers

#: Executors whose workers are on the job's own node.
EXECUTORS = ["process-pool", "loky", "sequential"]


def workers_of(kind, n_workers=2, *, scratch=Path("scratch"), **options):
    """Return the workers of a job."""
    layout = WorkerLayout(executor_type=kind, cores=n_workers, worker_launcher=(), scratch=scratch)
    return open_workers(layout, **options)


class Evaluator:
    """An executor of a function, on the running loop."""

    def __init__(self, workers, function, initializer=None):
        self.executor = workers.serve(function, initializer)
        self.function = function

    def submit(self, x):
        return self.executor.submit(self.function, x)

    async def at(self, x):
        return await asyncio.wrap_future(self.submit(x))

    async def at_all(self, points):
        return await asyncio.gather(*map(self.at, points))


@contextlib.contextmanager
def evaluator(kind, function, n_workers=2, initializer=None, **options):
    workers = workers_of(kind, n_workers, **options)
    evaluator = Evaluator(workers, function, initializer)
    try:
        yield evaluator
    finally:
        evaluator.executor.close()
        workers.close()


def is_gone(process):
    """Return whether a process, as psutil knows it, has ended; it may do so just now."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def users_script(text, name="<string>"):
    """Return what a script defines: it exists by value only, no other process can import it."""
    script = types.ModuleType("__main__")
    exec(compile(text, name, "exec"), vars(script))
    return script
