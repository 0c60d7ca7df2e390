"""How a run is, in figures and in words."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from adaptive_scheduler._common.formatting import span
from adaptive_scheduler.run_folder.models import (
    CANCELLED,
    DELAYED,
    DONE,
    FAILED,
    READY,
    RUNNING,
    WAITING,
)

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.state import RunState
    from adaptive_scheduler.scheduler.base import QueuedJob
    from adaptive_scheduler.server_support.run_manager import RunManager

#: Failures that are shown in words; the others are counted.
_FAILURES_SHOWN = 3
#: How a job ends that nobody needs to hear of.
_WELL = "COMPLETED"


@dataclass(frozen=True)
class Failure:
    """What went wrong with a learner last."""

    learner: int
    fails: int
    is_given_up: bool
    error: str

    def __str__(self) -> str:
        times = "once" if self.fails == 1 else f"{self.fails} times"
        what = "given up" if self.is_given_up else "will be tried again"
        return f"failed {times}, {what}: {self.error}"


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """A run at one moment.

    Attributes
    ----------
    name, folder, status
        Which run, where, and how it is.
    n_learners, n_done, n_running, n_ready, n_waiting, n_failed, n_cancelled
        Learners by state. Ready ones have no job yet, waiting ones depend on
        others or pause after a failure.
    jobs_running, jobs_pending
        Jobs that live.
    elapsed_time
        Seconds since `start`.
    npoints, rate
        Points of all learners, as far as their jobs have told, and points a
        second of those that run.
    cpu, memory
        Means over the jobs: percent of one core, and of the host's memory;
        None if they have not told.
    core_hours
        What the jobs have used so far.
    time_left
        Until all learners are done; None if nobody can know.
    pending_reasons
        Why jobs are pending, in the scheduler's words, and how many of them.
    ends
        How jobs have ended so far, in the scheduler's words, and how many of them;
        without those of whose end it knows nothing, but which had told it themselves.
    trouble
        What the scheduler, or the disk, can't do at the moment.
    is_paused
        Whether nothing new is submitted.
    learner_troubles
        What the jobs of some learners have said last that hinders them.
    failures
        The learners that failed last time, those given up first.
    """

    name: str
    folder: str
    status: str
    n_learners: int
    n_done: int
    n_running: int
    n_ready: int
    n_waiting: int
    n_failed: int
    jobs_running: int
    jobs_pending: int
    elapsed_time: float
    npoints: int
    n_cancelled: int = 0
    rate: float = 0.0
    cpu: float | None = None
    memory: float | None = None
    core_hours: float = 0.0
    time_left: timedelta | None = None
    pending_reasons: dict[str, int] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    trouble: str = ""
    is_paused: bool = False
    learner_troubles: dict[int, str] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    @property
    def is_alive(self) -> bool:
        """Whether there may be jobs."""
        return self.status in ("running", "left alone")


def info_of_state(
    state: RunState,
    *,
    name: str,
    folder: str,
    status: str,
    elapsed_time: float,
    npoints: int,
    ailing: Iterable[int] | None = None,
) -> RunInfo:
    """Return how a run is, as far as its record tells.

    Parameters
    ----------
    state
        The record.
    name, folder, status, elapsed_time, npoints
        What does not stand there, see `RunInfo`.
    ailing
        Learners that failed last time or have trouble; all are looked at if not given.
    """
    counts = state.counts
    jobs = [job for job in state.jobs.values() if job.job_id not in state.leaving]
    n_started = sum(job.started is not None for job in jobs)
    indices = range(len(state.learners)) if ailing is None else sorted(ailing)
    learners = [state.learners[index] for index in indices]
    failures = [
        Failure(entry.index, entry.fails, entry.state == FAILED, entry.error)
        for entry in learners
        if entry.state == FAILED or entry.fails > 0
    ]
    return RunInfo(
        name=name,
        folder=folder,
        status=status,
        n_learners=len(state.learners),
        n_done=counts[DONE],
        n_running=counts[RUNNING],
        n_ready=counts[READY],
        n_waiting=counts[WAITING] + counts[DELAYED],
        n_failed=counts[FAILED],
        n_cancelled=counts[CANCELLED],
        jobs_running=n_started,
        jobs_pending=len(jobs) - n_started,
        elapsed_time=elapsed_time,
        npoints=npoints,
        ends=dict(state.totals.ends.most_common()),
        is_paused=state.is_paused,
        learner_troubles={e.index: e.trouble for e in learners if e.trouble},
        failures=sorted(failures, key=lambda f: (not f.is_given_up, f.learner)),
    )


def collect_info(run_manager: RunManager) -> RunInfo:
    """Return how a run is: call it on the event loop."""
    database, recorder = run_manager.database_manager, run_manager.recorder
    tally = recorder.tally(time.time())
    info = info_of_state(
        database.state,
        name=run_manager.job_name,
        folder=str(run_manager.run_folder.root),
        status=run_manager.status(),
        elapsed_time=run_manager.elapsed_time(),
        npoints=tally.npoints,
        ailing=recorder.ailing,
    )
    return replace(
        info,
        rate=tally.rate,
        cpu=tally.cpu,
        memory=tally.memory,
        core_hours=tally.core_seconds / 3600,
        time_left=tally.time_left,
        pending_reasons=dict(Counter(pending_reasons_of(database.queue)).most_common()),
        trouble=trouble_of(run_manager),
    )


def pending_reasons_of(queue: Mapping[str, QueuedJob]) -> Iterator[str]:
    """Yield for each pending job why it is, where the scheduler says so."""
    for job in queue.values():
        if job["alive"] and not job["running"] and job["reason"]:
            yield job["reason"]


def trouble_of(run_manager: RunManager) -> str:
    """Return what can't be done at the moment; empty if all is well."""
    kill_manager = run_manager.kill_manager
    killing = "" if kill_manager is None else kill_manager.state_of_task()
    return (
        run_manager.job_manager.trouble
        or run_manager.database_manager.disk_trouble
        or (f"the kill manager {killing}" if killing.startswith("failed") else "")
    )


def as_line(info: RunInfo) -> str:
    """Return the state of a run in one line."""
    parts = [
        f"{info.n_done}/{info.n_learners} learners done",
        f"{info.n_running} running" if info.n_running else "",
        f"{info.n_ready} ready" if info.n_ready else "",
        f"{info.n_waiting} waiting" if info.n_waiting else "",
        f"{info.n_failed} failed" if info.n_failed else "",
        f"{info.n_cancelled} cancelled" if info.n_cancelled else "",
        f"{info.npoints:,} points",
    ]
    if info.is_alive:
        parts.append(f"jobs: {info.jobs_running} running, {info.jobs_pending} pending")
        parts.append(
            "" if info.time_left is None else f"{span(info.time_left, is_rough=True)} left"
        )
    status = f"{info.status} (paused)" if info.is_paused else info.status
    return f"{info.name} {status} {span(info.elapsed_time)}: " + ", ".join(p for p in parts if p)


def as_text(info: RunInfo) -> str:
    """Return the state of a run in some lines."""
    lines = [as_line(info), f"  folder: {info.folder}"]
    if info.trouble:
        lines.append(f"  trouble: {info.trouble}")
    if info.is_paused and info.status == "running":
        lines.append("  paused: nothing new is submitted until `resume()`")
    for learner, trouble in list(info.learner_troubles.items())[:_FAILURES_SHOWN]:
        lines.append(f"  trouble of learner {learner}: {trouble}")
    if (n_more := len(info.learner_troubles) - _FAILURES_SHOWN) > 0:
        lines.append(f"  ... and {n_more} more have trouble")
    if info.pending_reasons and info.status == "running":
        reasons = ", ".join(f"{n} ({reason})" for reason, n in info.pending_reasons.items())
        lines.append(f"  pending: {reasons}")
    if ends := ends_in_words(info.ends):
        lines.append(f"  jobs that ended: {ends}")
    lines += [f"  learner {f.learner} {f}" for f in info.failures[:_FAILURES_SHOWN]]
    if len(info.failures) > _FAILURES_SHOWN:
        lines.append(f"  ... and {len(info.failures) - _FAILURES_SHOWN} more have failed")
    return "\n".join(lines)


def ends_in_words(ends: Mapping[str, int]) -> str:
    """Return how jobs have ended and how many of them; nothing if all have ended well."""
    if not ends.keys() - {_WELL}:
        return ""
    return ", ".join(f"{n:,} {end}" for end, n in ends.items())


def time_since(start: float | None, end: float | None) -> float:
    """Return seconds from `start` until `end`, or until now."""
    return 0.0 if start is None else (end or time.time()) - start
