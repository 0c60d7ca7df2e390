"""A manager that others play jobs for: ``python -m tests.end_to_end.far_manager FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import adaptive

from adaptive_scheduler import RunManager
from tests.end_to_end.barriers import N_POINTS, Barriers
from tests.end_to_end.schedulers import Played


class Far(Played):
    """Its jobs may run on any host."""

    is_local = False


def make_learner(folder):
    """Return the learner of the run."""
    function = Barriers(folder).function(folder / "ledger")
    return adaptive.SequenceLearner(function, list(range(N_POINTS)))


def main(folder, save_interval):
    """Manage a run with one learner until it is over."""
    run = RunManager(
        Far(folder / "queue"),
        [make_learner(folder)],
        [str(folder / "data" / "0.pickle")],
        job_name="run",
        folder=folder / "run-run",
        job_manager_interval=0.5,
        log_interval=1,
        save_interval=save_interval,
        quiet=True,
    )
    run.start()
    run.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
