"""One learner with `adaptive.Runner` and nothing around it, in the terms of `runs_ours`."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import adaptive
import loky
from children import serve
from workloads import Work, WorkName, make_work

_POOLS: dict[str, Any] = {
    "process-pool": ProcessPoolExecutor,
    "loky": loky.ProcessPoolExecutor,
}


def run(*, folder: str, work: WorkName, cores: int, executor_type: str) -> dict[str, Any]:
    """Run one learner until its goal."""
    made = make_work(work, Path(folder))
    started = time.perf_counter()
    asyncio.run(_run(made, _POOLS[executor_type](cores), cores))
    return {
        "seconds": time.perf_counter() - started,
        "status": "finished",
        "points": [learner.npoints for learner in made.learners],
    }


async def _run(work: Work, pool: Executor, cores: int) -> None:
    (learner,) = work.learners
    with pool:
        await adaptive.AsyncRunner(learner, goal=work.goal, executor=pool, ntasks=cores).task


if __name__ == "__main__":
    serve({"run": run})
