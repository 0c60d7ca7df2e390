"""How long the README's run takes: twenty learners, two jobs at a time, on this machine.

Beside it, the same with the released package.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from children import Child
from released import VERSION, add_option, released_python
from report import CACHE, Report, make_parser

N_LEARNERS = 20
SLOTS = 2


def run_once(python: Path, script: str) -> dict[str, Any]:
    """Run all learners in a new folder."""
    with (
        tempfile.TemporaryDirectory(dir=CACHE, ignore_cleanup_errors=True) as folder,
        Child(python, script, folder=Path(folder)) as child,
    ):
        ran = child.ask(
            "run",
            folder=folder,
            work=["readme", {"number": N_LEARNERS}],
            cores=1,
            slots=SLOTS,
            executor_type="process-pool",
            python_executable=None,
        )
    if ran["status"] != "finished" or min(ran["points"]) <= 200:
        raise RuntimeError(f"The run of {script} went wrong: {ran}")
    return ran


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    add_option(parser)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    released = released_python(arguments.released_python)
    report = Report("run")
    report.note(
        f"{N_LEARNERS} learners until each has more than 200 points, {SLOTS} jobs of one core at "
        f"a time: from start() to finished. Medians of {arguments.rounds} rounds; "
        "the factor is compared within a round, since other work on the machine comes and goes.\n"
        "Ours: scheduler Local. Release: all else at its defaults, with a scheduler of two slots "
        "written for this benchmark, since its LocalMockScheduler refuses every job."
    )
    sides = {
        "ours": (Path(sys.executable), "runs_ours.py"),
        f"release {VERSION}": (released, "runs_released.py"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(arguments.rounds):
        for name, (python, script) in sides.items():
            seconds[name].append(run_once(python, script)["seconds"])
    report.table(
        "From start to finished",
        ["", "seconds", "fastest", "slowest"],
        [[name, median(values), min(values), max(values)] for name, values in seconds.items()],
    )
    factor = median(theirs / ours for ours, theirs in zip(*seconds.values(), strict=True))
    report.bar(f"A run is so many times faster than with {VERSION}", factor, above=5)
    if arguments.json:
        report.save(arguments.json)


if __name__ == "__main__":
    main()
