"""What does the dashboard cost the process that shows it, and how much does it send?

A run is played without processes: jobs report and finish at a steady pace. Nothing is
shown; what would travel to the browser is counted where ipywidgets hands it over.
"""

from __future__ import annotations

import itertools
import json
import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import adaptive
import comm
from report import Report, make_parser

from adaptive_scheduler import RunManager, scheduler
from adaptive_scheduler.protocol.messages import Attempt, Done, JobIdentity, Status
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.server_support.event_loop import event_loop

#: Jobs that have a learner at a time.
N_JOBS = 1000
#: Seconds between two reports of a job, which is ten times as often as most users want them.
LOG_INTERVAL = 10.0
#: Learners that are done in a second.
DONE_PER_SECOND = 10
#: Steps of the play in a second.
_STEPS = 10


class CountingComm(comm.base_comm.BaseComm):
    """Counts what would travel to the browser."""

    n_bytes = 0
    n_messages = 0

    def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
        del msg_type, metadata, keys
        size = len(json.dumps(data)) + sum(len(buffer) for buffer in buffers or ())
        CountingComm.n_bytes += size
        CountingComm.n_messages += 1


class Play:
    """A run of so many learners, and the jobs that have some of them."""

    def __init__(self, n_learners: int, folder: Path) -> None:
        learners = [adaptive.Learner1D(abs, (0, 1)) for _ in range(n_learners)]
        fnames = [folder / f"{i}.pickle" for i in range(n_learners)]
        local = scheduler.Local(cores=1)
        self.run = RunManager(local, learners, fnames, goal=10**6, folder=folder / "run")
        self.handler = self.run.database_manager.handler
        self.state = self.run.database_manager.state
        self.n_learners = n_learners
        self.next_learner = 0
        self.held: dict[int, int] = {}
        self.turn = itertools.cycle(range(min(N_JOBS, n_learners // 2)))
        record = self.run.database_manager.record
        record._journal = SimpleNamespace(append=lambda _: None)  # type: ignore[assignment]  # noqa: SLF001  nothing is written
        event_loop.call(self.begin)

    def begin(self) -> None:
        for number in range(min(N_JOBS, self.n_learners // 2)):
            self.assign(number)

    def assign(self, number: int) -> None:
        learner = self.next_learner % self.n_learners
        self.next_learner += 1
        self.held[number] = learner
        self.state.apply(
            events.Assigned(
                time=time.time(),
                learner=learner,
                number=self.state.learners[learner].attempt + 1,
                job=JobIdentity(f"7_{number}"),
                job_name=f"run-{number}",
                job_number=number,
                host=f"node{number % 40}",
            )
        )

    def step(self) -> None:
        """Let a part of the jobs report, and one or two be done."""
        for _ in range(int(len(self.held) / LOG_INTERVAL / _STEPS)):
            self.handler.answer(self.message(Status, next(self.turn)))
        for _ in range(DONE_PER_SECOND // _STEPS):
            number = next(self.turn)
            self.handler.answer(self.message(Done, number))
            self.assign(number)

    def message(self, kind, number):
        learner = self.held[number]
        attempt = Attempt(learner, self.state.learners[learner].attempt)
        seen = self.handler.figures.get(learner, {}).get("npoints", 0)
        figures = {"npoints": seen + 7, "npoints/s": 0.7, "latest_loss": 1 / (seen + 1)}
        usage = {"cpu_usage": 97.5, "mem_usage": 1.25}
        return kind(JobIdentity(f"7_{number}"), attempt, {**figures, **usage})


def go_on(play: Play, seconds: float) -> tuple[float, int, int]:
    """Play for some seconds; return CPU seconds, bytes and messages, each a second."""
    CountingComm.n_bytes = CountingComm.n_messages = 0
    used, start = time.process_time(), time.perf_counter()
    for i in range(int(seconds * _STEPS)):
        event_loop.call(play.step)
        time.sleep(max(0.0, start + (i + 1) / _STEPS - time.perf_counter()))
    took = time.perf_counter() - start
    cpu = (time.process_time() - used) / took
    return cpu, int(CountingComm.n_bytes / took), int(CountingComm.n_messages / took)


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    options = parser.parse_args()
    comm.create_comm = CountingComm
    os.environ.setdefault("ADAPTIVE_SCHEDULER_LOCAL_DIR", tempfile.mkdtemp())
    report = Report("dashboard")
    report.note(
        f"{N_JOBS:,} jobs report every {LOG_INTERVAL:.0f} s, "
        f"{DONE_PER_SECOND} learners a second are done"
    )
    rows = []
    for n_learners in (1_000, 10_000, 100_000):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(n_learners, Path(folder), options.seconds))
    report.table(
        "the dashboard",
        [
            "learners",
            "ms to open",
            "kB to open",
            "kB/s",
            "messages/s",
            "CPU % open",
            "CPU % closed",
        ],
        rows,
    )
    ten_thousand = rows[1]
    report.bar("kB a second at 10,000 learners", ten_thousand[3], below=100)
    report.bar(
        "CPU % of the dashboard at 10,000 learners", ten_thousand[5] - ten_thousand[6], below=10
    )
    if options.json:
        report.save(options.json)


def measure(n_learners: int, folder: Path, seconds: float) -> list[object]:
    play = Play(n_learners, folder)
    closed, _, _ = go_on(play, seconds)
    CountingComm.n_bytes = 0
    start = time.perf_counter()
    dashboard = play.run.info()
    _ = dashboard.widget
    took, opened = time.perf_counter() - start, CountingComm.n_bytes
    go_on(play, 25.0)  # at first, everything is sent again to pages that are still loading
    cpu, n_bytes, n_messages = go_on(play, seconds)
    dashboard.close()
    figures = [1000 * took, opened / 1000, n_bytes / 1000, n_messages, 100 * cpu, 100 * closed]
    return [f"{n_learners:,}", *figures]


if __name__ == "__main__":
    main()
