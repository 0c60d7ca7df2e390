"""How a run is, as the strip on top of the dashboard shows it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from adaptive_scheduler.server_support.info import ends_in_words, pending_reasons_of, trouble_of

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.run_manager import RunManager


@dataclass(frozen=True, kw_only=True)
class RunFigures:
    """A run at one moment.

    Attributes
    ----------
    name, folder, status
        Which run, where, and how it is.
    is_paused
        Whether no jobs are submitted at the moment, because the user wants it so.
    counts
        Learners by state, see `state`.
    jobs_running, jobs_pending
        Jobs that live.
    reasons
        Why jobs are pending, in the scheduler's words, and how many of them.
    ends
        How jobs have ended; empty as long as all have ended well.
    elapsed
        Seconds since the start.
    npoints, rate
        Points of all learners, and how many of them come in a second.
    loss
        Median of the learners' losses.
    cpu, memory
        Means over the jobs: percent of one core, percent of the host's memory.
    core_hours
        What the jobs have used so far.
    time_left
        Until all learners are done; None if nobody can know.
    trouble
        What can't be done at the moment.
    """

    name: str
    folder: str
    status: str
    is_paused: bool
    counts: dict[str, int]
    jobs_running: int
    jobs_pending: int
    reasons: dict[str, int]
    ends: str
    elapsed: float
    npoints: int
    rate: float
    loss: float | None
    cpu: float | None
    memory: float | None
    core_hours: float
    time_left: timedelta | None
    trouble: str

    @property
    def n_learners(self) -> int:
        """How many learners there are."""
        return sum(self.counts.values())

    @property
    def is_over(self) -> bool:
        """Whether nothing goes on any more."""
        return self.status in {"finished", "cancelled", "failed"}


def collect_figures(run_manager: RunManager) -> RunFigures:
    """Collect the figures of a run: call it on the event loop."""
    database = run_manager.database_manager
    status = run_manager.status()
    tally = run_manager.recorder.tally(time.time())
    is_over = status in {"finished", "cancelled", "failed"}
    jobs = [] if is_over else list(database.state.jobs.values())
    n_running = sum(job.started is not None for job in jobs)
    return RunFigures(
        name=run_manager.job_name,
        folder=str(run_manager.run_folder.root),
        status=status,
        is_paused=database.state.is_paused,
        counts={state: n for state, n in database.state.counts.items() if n},
        jobs_running=n_running,
        jobs_pending=len(jobs) - n_running,
        reasons=dict(Counter(pending_reasons_of(database.queue)).most_common()),
        ends=ends_in_words(dict(database.state.totals.ends.most_common())),
        elapsed=run_manager.elapsed_time(),
        npoints=tally.npoints,
        rate=0.0 if is_over else tally.rate,
        loss=tally.loss,
        cpu=None if is_over else tally.cpu,
        memory=None if is_over else tally.memory,
        core_hours=tally.core_seconds / 3600,
        time_left=None if status != "running" else tally.time_left,
        trouble=trouble_of(run_manager),
    )
