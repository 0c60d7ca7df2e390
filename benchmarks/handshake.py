"""How fast a manager gives learners to jobs, with 100 and with 10,000 of them.

Jobs ask for a learner and say that it is done, over real sockets on loopback;
nothing is computed. Beside it, the same with the released package.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from children import Child
from released import VERSION, add_option, released_python
from report import CACHE, Report, make_parser

#: Learners that the release hands out in one round, at most: it takes its time.
_MOST_OF_RELEASE = 500
#: Learners, at most, in a round in which each has a connection of its own.
_MOST_AFRESH = 500
#: Messages that a figure rests on, at least; few learners are run more often.
_LEAST_MESSAGES = 2000
#: Learners from which on the release must be left far behind.
_MANY = 10_000


@dataclass
class Round:
    """What one manager and its jobs needed. Times in milliseconds a message."""

    wall: float
    manager_cpu: float
    jobs_cpu: float
    n_messages: int
    setup: float
    n_files: int
    n_bytes: int
    journal: int


@dataclass
class Side:
    """One of the two packages, or a way to use it."""

    name: str
    python: Path
    script: str
    run: str
    most: int | None

    def rounds(self, n_learners: int, n_rounds: int, in_flight: int, work: Path) -> list[Round]:
        """Run several managers with `n_learners` each, one after another."""
        n_used = min(n_learners, self.most or n_learners)
        n_rounds = max(n_rounds, _LEAST_MESSAGES // (2 * n_used))
        with (
            Child(self.python, self.script, "manager", folder=work) as manager,
            Child(self.python, self.script, "jobs", folder=work) as jobs,
        ):
            return [
                self._round(
                    manager,
                    jobs,
                    work / "run",
                    n_learners=n_learners,
                    n_used=n_used,
                    in_flight=in_flight,
                )
                for _ in range(n_rounds)
            ]

    def _round(
        self,
        manager: Child,
        jobs: Child,
        folder: Path,
        *,
        n_learners: int,
        n_used: int,
        in_flight: int,
    ) -> Round:
        shutil.rmtree(folder, ignore_errors=True)
        setup = manager.ask("start", folder=str(folder), learners=n_learners)
        jobs.ask("connect", address=setup["address"], names=setup["names"], in_flight=in_flight)
        before = manager.ask("cpu")
        ran = jobs.ask(self.run, learners=n_used)
        after = manager.ask("cpu")
        jobs.ask("close")
        if after["done"] != n_used:
            raise RuntimeError(f"{after['done']} of {n_used} learners are done.")
        ms = 1000 / (2 * n_used)
        return Round(
            wall=ran["seconds"] * ms,
            manager_cpu=(after["cpu"] - before["cpu"]) * ms,
            jobs_cpu=ran["cpu"] * ms,
            n_messages=2 * n_used,
            setup=setup["seconds"],
            n_files=setup["files"],
            n_bytes=setup["bytes"],
            journal=manager.ask("stop")["journal"],
        )


def median_of(rounds: list[Round], field: str) -> float:
    """Return the median of one of the fields."""
    return float(median(getattr(r, field) for r in rounds))


def show(report: Report, sizes: list[int], measured: dict[tuple[str, int], list[Round]]) -> None:
    """Print all figures."""
    speed: list[list[Any]] = []
    setup: list[list[Any]] = []
    for (name, n_learners), rounds in measured.items():
        wall = median_of(rounds, "wall")
        cpu = [median_of(rounds, field) for field in ("manager_cpu", "jobs_cpu")]
        n_messages = sum(r.n_messages for r in rounds)
        speed.append([name, n_learners, 1000 / wall, wall, *cpu, n_messages])
        counts = [int(median_of(rounds, field)) for field in ("n_files", "n_bytes", "journal")]
        setup.append([name, n_learners, median_of(rounds, "setup"), *counts])
    report.table(
        "Start and done of a learner",
        ["", "learners", "messages/s", "ms/message", "manager CPU ms", "jobs CPU ms", "measured"],
        speed,
    )
    report.table(
        "Set-up: start() until jobs may come, and the record when the round was over",
        ["", "learners", "seconds", "files", "bytes", "record bytes"],
        [row for row in setup if row[0] != AFRESH],
    )
    show_ratios(report, sizes, measured)


def show_ratios(
    report: Report, sizes: list[int], measured: dict[tuple[str, int], list[Round]]
) -> None:
    """Print how often ours is faster, and the bars."""
    wall = {key: median_of(rounds, "wall") for key, rounds in measured.items()}
    cpu = {key: median_of(rounds, "manager_cpu") for key, rounds in measured.items()}
    rows = [
        [f"{n:,}", wall[RELEASED, n] / wall[OURS, n], cpu[RELEASED, n] / cpu[OURS, n],
         wall[RELEASED, n] / wall[AFRESH, n]]
        for n in sizes
    ]  # fmt: skip
    report.table(
        "How often ours is faster",
        ["learners", "by the clock", "by the manager's CPU", "by the clock, each its connection"],
        rows,
    )
    few, many = min(sizes), max(sizes)
    report.bar(
        f"A message costs the same at {many:,} learners as at {few:,} (factor)",
        wall[OURS, many] / wall[OURS, few],
        below=1.5,
    )
    if many >= _MANY:
        report.bar(
            f"At {many:,} learners ours is so many times faster than {VERSION}",
            wall[RELEASED, many] / wall[OURS, many],
            above=20,
        )


OURS, AFRESH, RELEASED = "ours", "ours, a connection for each learner", f"release {VERSION}"


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    add_option(parser)
    parser.add_argument("--learners", type=int, nargs="+", default=[100, 1000, 10_000], metavar="N")
    parser.add_argument("--rounds", type=int, default=3, help="at least so many for each figure")
    parser.add_argument("--in-flight", type=int, default=64, help="jobs that speak at once")
    arguments = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    released = released_python(arguments.released_python)
    report = Report("handshake")
    explain(report, arguments)
    here = Path(sys.executable)
    sides = [
        Side(OURS, here, "handshake_ours.py", "run", None),
        Side(AFRESH, here, "handshake_ours.py", "run_afresh", _MOST_AFRESH),
        Side(RELEASED, released, "handshake_released.py", "run", _MOST_OF_RELEASE),
    ]
    sizes = sorted(arguments.learners)
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        measured = {
            (side.name, n): side.rounds(n, arguments.rounds, arguments.in_flight, Path(work))
            for n in sizes
            for side in sides
        }
    show(report, sizes, measured)
    if arguments.json:
        report.save(arguments.json)


def explain(report: Report, arguments: argparse.Namespace) -> None:
    """Say what is measured."""
    report.note(
        f"Manager and jobs are one process each; {arguments.in_flight} jobs speak at once. Figures "
        f"are medians of {arguments.rounds} rounds or more, each with a new manager.\n"
        "Ours: encrypted, and no answer before its record is synced to disk; all learners are "
        "run, and a job keeps its connection.\n"
        f"Release: plain, its file is rewritten now and then and not synced; at most "
        f"{_MOST_OF_RELEASE} learners a round, taken evenly from the whole table.\n"
        "Its jobs are threads that call get_learner and tell_done; by the clock these cost it "
        "about as much as its manager where learners are few: compare the manager's CPU there."
    )


if __name__ == "__main__":
    main()
