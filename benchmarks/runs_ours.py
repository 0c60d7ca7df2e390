"""Runs with our package, in a process that `run`, `job` and `evaluations` ask for them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from children import serve
from workloads import WorkName, make_work

from adaptive_scheduler import RunManager, scheduler
from adaptive_scheduler.executors.kinds import EXECUTOR_TYPES


def run(
    *,
    folder: str,
    work: WorkName,
    cores: int,
    slots: int,
    executor_type: EXECUTOR_TYPES,
    python_executable: str | None,
) -> dict[str, Any]:
    """Run learners from start to finish, `slots` jobs at a time."""
    # A queue of its own: jobs of the user's don't take its slots.
    os.environ["ADAPTIVE_SCHEDULER_LOCAL_DIR"] = f"{folder}/queue"
    made = make_work(work, Path(folder))
    manager = RunManager(
        scheduler.Local(
            cores=cores,
            max_cores=cores * slots,
            executor_type=executor_type,
            python_executable=python_executable,
        ),
        made.learners,
        made.fnames,
        goal=made.goal,
        folder=f"{folder}/run",
        quiet=True,
    )
    started = time.perf_counter()
    manager.start()
    manager.wait()
    seconds = time.perf_counter() - started
    manager.load_learners()
    points = [learner.npoints for learner in made.learners]
    return {"seconds": seconds, "status": manager.status(), "points": points}


if __name__ == "__main__":
    serve({"run": run})
