"""What tests of executors on one machine share."""

from __future__ import annotations

import asyncio
import contextlib
import types

from adaptive_scheduler.executors.loky import Loky
from adaptive_scheduler.executors.process_pool import ProcessPool
from adaptive_scheduler.executors.sequential import Sequential

EXECUTORS = {"process-pool": ProcessPool, "loky": Loky, "sequential": Sequential}


class Evaluator:
    """An executor of a function, on the running loop."""

    def __init__(self, kind, function, n_workers=2, initializer=None, **options):
        self.executor = EXECUTORS[kind](function, n_workers, initializer, **options)
        self.function = function

    def submit(self, x):
        return self.executor.submit(self.function, x)

    async def at(self, x):
        return await asyncio.wrap_future(self.submit(x))

    async def at_all(self, points):
        return await asyncio.gather(*map(self.at, points))


@contextlib.contextmanager
def evaluator(kind, function, n_workers=2, initializer=None, **options):
    evaluator = Evaluator(kind, function, n_workers, initializer, **options)
    try:
        yield evaluator
    finally:
        evaluator.executor.close()


def users_script(text):
    """Return what a script defines: it exists by value only, no other process can import it."""
    script = types.ModuleType("__main__")
    exec(text, vars(script))
    return script
