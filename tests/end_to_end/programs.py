"""Programs as users write them, run in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.waiting import PATIENCE

#: A program like that of the README, with functions that wait at a gate.
PROGRAM = """
import sys
from pathlib import Path

import adaptive

from adaptive_scheduler import RunManager
from adaptive_scheduler.scheduler import SLURM, Local
from tests.end_to_end.ledger import Noted

here = Path(__file__).parent if "__file__" in globals() else Path.cwd()
functions = [
    Noted(here / "ledger", learner, free={free}, gate=here / "gate")
    for learner in range({n_learners})
]
learners = [adaptive.SequenceLearner(function, list(range({n_points}))) for function in functions]
fnames = [f"data/{{i}}.pickle" for i in range({n_learners})]
run = RunManager(
    {scheduler},
    learners,
    fnames,
    job_name="run",
    job_manager_interval=1,
    log_interval=1,
    save_interval=1,
    quiet=True,
)
"""


def program(*, end, n_learners=2, n_points=10, free=3, scheduler="Local(cores=1, max_cores=2)"):
    """Return the text of a program that makes a run and ends with the lines `end`."""
    head = PROGRAM.format(n_learners=n_learners, n_points=n_points, free=free, scheduler=scheduler)
    return head + end


def start(text: str, *, name: str = "program.py") -> subprocess.Popen[str]:
    """Start a program in this folder and return its process."""
    script = Path.cwd() / name
    script.write_text(text)
    return subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=dict(os.environ),
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for the end of a program; return its exit code, output and errors.

    It starts a manager and jobs, one after another, and each gets its time.
    """
    output, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, output, errors


def run(text: str, *, name: str = "program.py") -> str:
    """Run a program that must succeed, and return what it prints."""
    code, output, errors = finish(start(text, name=name))
    assert code == 0, f"{output}\n{errors}"
    return output
