"""What one job costs: one learner with 201 points, on a process pool of two workers.

CPU seconds, imported modules, and files opened and looked for, from the job
program's first instruction to its end. Beside it the released package.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

from children import Child, environment
from released import VERSION, add_option, released_python
from report import CACHE, Report, make_parser

#: Runs a Python program as the given one does: a job, or an import alone.
Program: TypeAlias = Callable[[Path, Path], None]

#: What is measured, and how it is called in the table.
COLUMNS = {
    "cpu": "CPU seconds",
    "seconds": "seconds",
    "modules": "modules",
    "opens": "opens",
    "stats": "stats",
    "in memory": "in /proc etc.",
}
_WORKERS = 2
#: Seconds that a job has for its end when its run is over.
_PATIENCE = 60.0


def job_of(python: Path, script: str) -> Program:
    """Return a program that runs one job of a package."""

    def run(metered_python: Path, folder: Path) -> None:
        with Child(python, script, folder=folder) as child:
            ran = child.ask(
                "run",
                folder=str(folder),
                work=["readme", {"number": 1}],
                cores=_WORKERS,
                slots=1,
                executor_type="process-pool",
                python_executable=str(metered_python),
            )
        if ran["status"] != "finished" or min(ran["points"]) <= 200:
            raise RuntimeError(f"The job of {script} went wrong: {ran}")

    return run


def import_adaptive(metered_python: Path, folder: Path) -> None:
    """Do nothing but import what every job needs."""
    subprocess.run(
        [metered_python, "-c", "import adaptive"], cwd=folder, env=environment(), check=True
    )


def meter(what: str, python: Path, program: Program) -> dict[str, Any]:
    """Run a program in a new folder and return what it cost."""
    with tempfile.TemporaryDirectory(dir=CACHE, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        out, metered_python = folder / "cost.json", folder / "python"
        script = Path(__file__).with_name("metered.py")
        command = shlex.join(map(str, [sys.executable, "-I", script, what, out, python]))
        metered_python.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        metered_python.chmod(0o755)
        program(metered_python, folder)
        deadline = time.monotonic() + _PATIENCE
        while not out.exists():  # a run is over a little before its last job
            if time.monotonic() > deadline:
                raise TimeoutError(f"The job did not end within {_PATIENCE} s.")
            time.sleep(0.02)
        cost: dict[str, Any] = json.loads(out.read_text())
        return cost


def cost_of(python: Path, program: Program, n_rounds: int) -> dict[str, float | None]:
    """Return all that is measured of a program."""
    # What is counted comes first: it also sees to it that everything is compiled.
    counts = meter("modules", python, program)
    if shutil.which("strace"):
        counts |= meter("calls", python, program)
    runs = [meter("cpu", python, program) for _ in range(n_rounds)]
    times = {key: median(run[key] for run in runs) for key in ("cpu", "seconds")}
    return {**dict.fromkeys(COLUMNS), **counts, **times}


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    add_option(parser)
    parser.add_argument(
        "--rounds", type=int, default=5, help="for the seconds; the rest is counted"
    )
    arguments = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    here, released = Path(sys.executable), released_python(arguments.released_python)
    report = Report("job")
    report.note(
        f"One learner of the README until it has more than 200 points, {_WORKERS} workers. "
        f"Seconds are medians of {arguments.rounds} jobs; CPU is that of the job and its workers. "
        "'opens' and 'stats' (stat, access and readlink in all their forms) are paths, found or "
        "not; those in /proc, /sys and /dev cost no file server anything and are counted apart. "
        "The last rows are the part that no job can do without, in either environment."
    )
    if not shutil.which("strace"):
        report.note("Files are not counted: that needs strace.")
    costs = {
        "ours": cost_of(here, job_of(here, "runs_ours.py"), arguments.rounds),
        f"release {VERSION}": cost_of(
            released, job_of(released, "runs_released.py"), arguments.rounds
        ),
        "import adaptive alone, here": cost_of(here, import_adaptive, arguments.rounds),
        "import adaptive alone, there": cost_of(released, import_adaptive, arguments.rounds),
    }
    report.table(
        "A job of 201 points",
        ["", *COLUMNS.values()],
        [[name, *(cost[column] for column in COLUMNS)] for name, cost in costs.items()],
    )
    ours, other, *_ = costs.values()
    for column, promise in {"cpu": "CPU seconds", "modules": "imports", "opens": "opens"}.items():
        mine, theirs = ours[column], other[column]
        if mine is not None and theirs is not None:
            report.bar(
                f"A job's {promise}, as a part of those of {VERSION}", mine / theirs, below=1
            )
    if arguments.json:
        report.save(arguments.json)


if __name__ == "__main__":
    main()
