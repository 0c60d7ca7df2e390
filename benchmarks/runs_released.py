# mypy: ignore-errors
"""The same as `runs_ours` with the released package, under the release's own Python.

A type checker would look at our package instead.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from children import serve
from released_scheduler import Here
from workloads import WorkName, make_work

from adaptive_scheduler import RunManager


def run(
    *,
    folder: str,
    work: WorkName,
    cores: int,
    slots: int,
    executor_type: str,
    python_executable: str | None,
) -> dict[str, Any]:
    """Run learners from start to finish, `slots` jobs at a time."""
    scheduler = Here(
        cores=cores,
        slots=slots,
        folder=Path(folder),
        executor_type=executor_type,
        python_executable=python_executable or sys.executable,
    )
    return asyncio.run(_run(scheduler, Path(folder), work))


async def _run(scheduler: Here, folder: Path, work: WorkName) -> dict[str, Any]:
    made = make_work(work, folder)
    manager = RunManager(
        scheduler,
        made.learners,
        made.fnames,
        goal=made.goal,
        db_fname=str(folder / "database.json"),
        move_old_logs_to=folder / "old_logs",
    )
    started = time.perf_counter()
    manager.start()
    await manager.task
    seconds = time.perf_counter() - started
    manager.load_learners()
    points = [learner.npoints for learner in made.learners]
    return {"seconds": seconds, "status": manager.status(), "points": points}


if __name__ == "__main__":
    serve({"run": run})
