"""The program of a user whose run is soaked.

It is called as ``python -m tests.soak.program FOLDER SCHEDULER LEARNERS POINTS``.

Started again, it goes on where it was.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import adaptive

from adaptive_scheduler import RunManager
from adaptive_scheduler.scheduler import PBS, SLURM
from tests.end_to_end.ledger import Noted, value_at

SCHEDULERS = {"pbs": PBS, "slurm": SLURM}
#: Seconds that each evaluation takes.
POINT_SECONDS = 0.05
#: Seconds of work that a job may lose which is killed.
SAVE_INTERVAL = 0.5


@dataclass(frozen=True)
class Slow:
    """A function that takes a while."""

    def __call__(self, x: Any) -> float:
        """Return the value at `x`."""
        threading.Event().wait(POINT_SECONDS)
        return value_at(x)


def make_learner(folder: Path, index: int, n_points: int) -> adaptive.SequenceLearner:
    """Return a learner whose evaluations stand in the ledger."""
    function = Noted(folder / "ledger", index, function=Slow())
    return adaptive.SequenceLearner(function, list(range(n_points)))


def fname(folder: Path, index: int) -> str:
    """Return where the data of a learner lies."""
    return str(folder / "disk" / "data" / f"{index}.pickle")


def main(folder: Path, scheduler_name: str, n_learners: int, n_points: int) -> None:
    """Run until all is done."""
    kind = SCHEDULERS[scheduler_name]
    scheduler = kind(cores=1, executor_type="sequential", signal_before_end=0)
    scheduler.min_poll_interval = 0.5
    run = RunManager(
        scheduler,
        [make_learner(folder, i, n_points) for i in range(n_learners)],
        [fname(folder, i) for i in range(n_learners)],
        job_name="run",
        folder=folder / "disk" / "run",
        job_manager_interval=1,
        save_interval=SAVE_INTERVAL,
        log_interval=1,
        max_simultaneous_jobs=8,
        quiet=True,
    )
    run.start()
    run.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
