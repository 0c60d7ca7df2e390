"""How many evaluations a second a job gets done when the function costs nothing.

With a small function, and with one that closes over 10 MB: in jobs of ours, in
jobs of the released package, and with `adaptive.Runner` and nothing around it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

from children import Child
from released import VERSION, add_option, released_python
from report import CACHE, Report, make_parser

OURS, RELEASED, PLAIN = "ours", f"release {VERSION}", "plain adaptive.Runner"
SCRIPTS = {OURS: "runs_ours.py", RELEASED: "runs_released.py", PLAIN: "runs_plain.py"}
FUNCTIONS = ("small", "large")
#: Who is measured with each executor.
CASES = [
    ("process-pool", OURS),
    ("process-pool", RELEASED),
    ("process-pool", PLAIN),
    ("loky", OURS),
    ("loky", RELEASED),
    ("loky", PLAIN),
    ("sequential", OURS),
    ("sequential", RELEASED),
    # The release needs a cluster for these.
    ("mpi4py", OURS),
    ("dask", OURS),
    ("ipyparallel", OURS),
]
#: Executors of which one core directs the others.
DIRECTED = ("mpi4py", "ipyparallel")
#: An executor, whose it is, and a function.
Case: TypeAlias = tuple[str, str, str]
#: By this factor, at most, an evaluation of the large function takes longer.
WORST = 1.2


def rate_of(
    child: Child,
    folder: Path,
    side: str,
    executor: str,
    function: str,
    *,
    workers: int,
    seconds: float,
) -> float:
    """Return how many evaluations a second there are."""
    cores = workers + (executor in DIRECTED)
    options: dict[str, Any] = {"cores": cores, "executor_type": executor}
    if side != PLAIN:
        options |= {"slots": 1, "python_executable": None}
    work = ("sequence", {"function": function, "seconds": seconds, "workers": workers})
    child.ask("run", folder=str(folder), work=work, **options)
    return float(json.loads((folder / "rate.json").read_text()))


def measure_round(
    pythons: Mapping[str, Path], cases: Iterable[Case], **options: Any
) -> Iterator[tuple[Case, float]]:
    """Yield the rate of each case. One process of each side starts the runs of a round."""
    with (
        tempfile.TemporaryDirectory(dir=CACHE, ignore_cleanup_errors=True) as name,
        ExitStack() as stack,
    ):
        children = {
            side: stack.enter_context(Child(python, SCRIPTS[side], folder=Path(name)))
            for side, python in pythons.items()
        }
        for executor, side, function in cases:
            folder = Path(tempfile.mkdtemp(dir=name))
            rate = rate_of(children[side], folder, side, executor, function, **options)
            yield (executor, side, function), rate


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    add_option(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure and round")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    here, released = Path(sys.executable), released_python(arguments.released_python)
    report = Report("evaluations")
    report.note(
        f"Evaluations a second with {arguments.workers} workers ('sequential' has one) in the "
        f"{arguments.seconds:g} s after they have warmed up;\n"
        f"medians of {arguments.rounds} rounds, for the bars of what was compared within each.\n"
        "The small function returns its argument; the large one closes over 10 MB."
    )
    rates: dict[Case, list[float]] = {}
    pythons = {OURS: here, RELEASED: released, PLAIN: here}
    cases = [(*case, function) for case in CASES for function in FUNCTIONS]
    for _ in range(arguments.rounds):
        options = {"workers": arguments.workers, "seconds": arguments.seconds}
        for case, rate in measure_round(pythons, cases, **options):
            rates.setdefault(case, []).append(rate)
        cases.reverse()  # what the machine does meanwhile favours nobody
    show(report, rates)
    if arguments.json:
        report.save(arguments.json)


def show(report: Report, rates: dict[Case, list[float]]) -> None:
    """Print the figures and the bars."""
    report.table(
        "Evaluations a second",
        ["", *FUNCTIONS],
        [
            [f"{executor}, {side}", *(median(rates[executor, side, f]) for f in FUNCTIONS)]
            for executor, side in CASES
        ],
    )
    for executor in ("process-pool", "loky", "sequential"):
        for function in FUNCTIONS:
            ours, theirs = (rates[executor, side, function] for side in (OURS, RELEASED))
            part = median(mine / other for mine, other in zip(ours, theirs, strict=True))
            promise = f"{executor}, {function} function: our rate as a part of {VERSION}'s"
            report.bar(promise, part, above=0.8)
    for executor in (executor for executor, side in CASES if side == OURS):
        small, large = (rates[executor, OURS, function] for function in FUNCTIONS)
        part = median(slow / fast for fast, slow in zip(small, large, strict=True))
        report.bar(
            f"{executor}: rate of the large function by the small one's", part, above=1 / WORST
        )


if __name__ == "__main__":
    main()
