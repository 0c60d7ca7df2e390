"""What each step of a manager costs with many learners and jobs.

The figures of docs/scaling.md: how much time, memory, files and bytes a step
takes with 1,000, 10,000 and 100,000 of them, and a whole run, with a clock of
its own.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psutil
from report import CACHE, Report, make_parser

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.server_support.simulated import Simulation, Site  # noqa: E402

#: How many learners, and as many jobs, unless the command line says otherwise.
_SIZES = (1_000, 10_000, 100_000)
#: How often what is quick is measured; the best counts.
_ROUNDS = 3


def best_ms(step: Callable[[], object], rounds: int = _ROUNDS) -> float:
    """Return the milliseconds of CPU that a step takes, in the best of some rounds."""
    times = []
    for _ in range(rounds):
        begun = time.thread_time()
        step()
        times.append(1e3 * (time.thread_time() - begun))
    return min(times)


def resident_mb() -> float:
    """Return the memory of this process."""
    gc.collect()
    return psutil.Process().memory_info().rss / 1e6


def measure_run(n: int) -> list[float | str]:
    """Return a row: a run of `n` learners in `n` jobs, each of 10 minutes."""
    before, begun = resident_mb(), time.process_time()
    run = Simulation(n, Site(slots=n), max_jobs=n).run()
    cpu = time.process_time() - begun
    n_messages = run.counts["messages"]
    return [
        f"{n:,}",
        n_messages,
        cpu,
        1e6 * cpu / n_messages,
        run.journal_bytes / n,
        1e3 * (resident_mb() - before) / n,
    ]


def at_work(n: int) -> Simulation:
    """Return a run of `n` learners, each of which a job has."""
    run = Simulation(n, Site(slots=n), max_jobs=n, duration=1e6, log_interval=1e6)
    return run.run(until=100.0)


def dashboard_of(run: Simulation) -> Callable[[], object]:
    """Return a function that does what a dashboard has the manager do, twice a second."""
    from adaptive_scheduler.server_support.live_view import LiveView
    from adaptive_scheduler.server_support.monitor import Monitor
    from adaptive_scheduler.server_support.reconcile import Reconciler

    n = len(run.state.learners)
    unused: dict[str, object] = {"read_outbox": None, "flushed": None, "max_log_lines": 0}
    database = SimpleNamespace(
        state=run.state,
        handler=run.handler,
        learners=[None] * n,
        groups=[0] * n,
        record=run.record,
        reconciler=Reconciler(run.record, None, None, run.handler, **unused),  # type: ignore[arg-type]
        disk_trouble="",
    )
    monitor = Monitor(database, lambda _: False, lambda _: 1)  # type: ignore[arg-type]
    manager = SimpleNamespace(
        database_manager=database,
        monitor=monitor,
        job_manager=SimpleNamespace(trouble="", is_paused=False),
        kill_manager=None,
        job_name="sweep",
        run_folder=SimpleNamespace(root=Path()),
        status=lambda: "running",
        elapsed_time=lambda: 0.0,
    )
    return LiveView(manager).info  # type: ignore[arg-type]


def measure_steps(n: int) -> list[float | str]:
    """Return a row: the steps whose time grows with the jobs that there are."""
    from adaptive_scheduler.run_folder.compaction import as_records
    from adaptive_scheduler.server_support.planning import numbers_to_submit
    from adaptive_scheduler.server_support.reconcile import gone_jobs

    run = at_work(n)
    queue = {job_id: {"alive": True, "running": True} for job_id in run.state.jobs}
    return [
        f"{n:,}",
        best_ms(lambda: numbers_to_submit(run.state, n, n)),
        best_ms(lambda: gone_jobs(run.state, queue, run.now)),  # type: ignore[arg-type]
        best_ms(dashboard_of(run)),
        best_ms(lambda: list(as_records(run.state, run.now))),
    ]


def measure_disk(n: int, folder: Path) -> list[float | str]:
    """Return a row: what `start` writes, and what picking a run up reads."""
    from adaptive import Learner1D

    from adaptive_scheduler.learners.pack import write_pack

    learners = [Learner1D(partial(pow, i), (-1, 1)) for i in range(n)]
    fnames = [f"data/{i:06}.pickle" for i in range(n)]
    pack = folder / f"{n}.pack"
    begun = time.process_time()
    write_pack(pack, learners, fnames)
    seconds = time.process_time() - begun
    return [f"{n:,}", 1, pack.stat().st_size / n, seconds]


def measure_journal(n: int, folder: Path) -> list[float | str]:
    """Return a row: reading the journal of a run that is half done."""
    from adaptive_scheduler.run_folder.events import FORMAT, RunBegan
    from adaptive_scheduler.run_folder.journal import Journal, read_journal
    from adaptive_scheduler.run_folder.state import RunState

    path = folder / f"{n}.jsonl"
    journal = Journal(path)
    journal.append(
        RunBegan(
            time=0.0, format=FORMAT, run_id="0" * 16, version="", n_learners=n, fnames_digest=""
        )
    )
    run = Simulation(n, Site(slots=n), max_jobs=n, on_record=journal.append)
    run.run()
    journal.flush()
    journal.close()

    def replay() -> None:
        state = RunState([0] * n)
        for record in read_journal(path):
            state.apply(record)

    return [f"{n:,}", path.stat().st_size / 1e6, best_ms(replay, 1) / 1e3]


@contextmanager
def working_folder() -> Iterator[Path]:
    """Give a folder for what is written, on a disk."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        yield Path(folder)


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=_SIZES, metavar="N")
    arguments = parser.parse_args()
    report = Report("scaling")
    sizes = arguments.sizes
    report.table(
        "A run of N learners in N jobs: the manager's decisions, without sockets and disks",
        ["N", "messages", "CPU s", "us a message", "journal B/learner", "memory kB/learner"],
        [measure_run(n) for n in sizes],
    )
    report.table(
        "Steps with N jobs at work, in ms of CPU",
        ["N", "what to submit", "look at the queue", "dashboard", "compaction"],
        [measure_steps(n) for n in sizes],
    )
    with working_folder() as folder:
        report.table(
            "Files that a start writes for N learners",
            ["N", "files", "B/learner", "CPU s"],
            [measure_disk(n, folder) for n in sizes],
        )
        report.table(
            "Picking up a run whose N learners are done",
            ["N", "journal MB", "CPU s"],
            [measure_journal(n, folder) for n in sizes],
        )
    if arguments.json:
        report.save(arguments.json)


if __name__ == "__main__":
    main()
