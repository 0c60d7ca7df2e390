"""The state of a run at one moment, in figures and in words."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final

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
    from adaptive_scheduler.server_support.learner_figures import LearnerFigures

#: What stands for who manages a run that this process manages.
THIS_PROCESS: Final = "this process"
#: For each state of a learner a sign, so that nobody needs to tell colours apart, in the order
#: in which states are shown.
SIGNS: Final = {
    DONE: "✓",
    RUNNING: "▶",
    READY: "○",
    WAITING: "…",
    DELAYED: "↻",
    FAILED: "✗",
    CANCELLED: "\N{EN DASH}",
}
#: Failures that are shown in words; the others are counted.
FAILURES_SHOWN: Final = 3
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
        Which run, where, and its state in a word: ``"not yet started"``, ``"running"``,
        ``"unmanaged"`` (nobody manages it, and jobs may go on), ``"finished"``,
        ``"cancelled"`` or ``"failed"``.
    as_of
        When all of this was so, in seconds since the epoch.
    manager
        Who manages the run; empty if nobody does.
    counts
        Learners by state, see `RunState`; states that no learner has are left out.
    jobs_running, jobs_pending
        Jobs in the queue that are needed.
    elapsed_time
        Seconds since `start`.
    npoints, rate
        Points of all learners, as far as their jobs have told, and points a
        second of those that run.
    loss
        Median of the learners' losses; None if none was told.
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
        Whether no new jobs are submitted.
    learner_troubles
        What the jobs of some learners have said last that hinders them.
    failures
        The learners that failed last time, those given up first.
    """

    name: str
    folder: str
    status: str
    as_of: float
    manager: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    jobs_running: int = 0
    jobs_pending: int = 0
    elapsed_time: float = 0.0
    npoints: int = 0
    rate: float = 0.0
    loss: float | None = None
    cpu: float | None = None
    memory: float | None = None
    core_hours: float = 0.0
    time_left: timedelta | None = None
    pending_reasons: Mapping[str, int] = field(default_factory=dict)
    ends: Mapping[str, int] = field(default_factory=dict)
    trouble: str = ""
    is_paused: bool = False
    learner_troubles: Mapping[int, str] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    @property
    def n_learners(self) -> int:
        """How many learners there are."""
        return sum(self.counts.values())

    @property
    def n_done(self) -> int:
        """How many learners have reached their goals."""
        return self.counts.get(DONE, 0)

    @property
    def n_running(self) -> int:
        """How many learners jobs have."""
        return self.counts.get(RUNNING, 0)

    @property
    def n_ready(self) -> int:
        """How many learners have no job yet."""
        return self.counts.get(READY, 0)

    @property
    def n_waiting(self) -> int:
        """How many learners depend on others, or pause after a failure."""
        return self.counts.get(WAITING, 0) + self.counts.get(DELAYED, 0)

    @property
    def n_failed(self) -> int:
        """How many learners have been given up."""
        return self.counts.get(FAILED, 0)

    @property
    def n_cancelled(self) -> int:
        """How many learners are not run until they are retried."""
        return self.counts.get(CANCELLED, 0)

    @property
    def is_alive(self) -> bool:
        """Whether there may be jobs."""
        return self.status in ("running", "unmanaged")

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.status in ("finished", "cancelled", "failed")


def make_info(
    state: RunState,
    figures: LearnerFigures,
    *,
    name: str,
    folder: str,
    status: str,
    as_of: float,
    manager: str,
    elapsed_time: float,
    core_seconds: float,
    started: Container[str] | None = None,
    pending_reasons: Mapping[str, int] | None = None,
    trouble: str = "",
) -> RunInfo:
    """Return the state of a run.

    Parameters
    ----------
    state, figures
        What is recorded, and what jobs have told.
    name, folder, status, as_of, manager, elapsed_time, pending_reasons, trouble
        What does not stand there, see `RunInfo`.
    core_seconds
        Cores of all jobs so far, times the seconds that they had them.
    started
        Ids of the jobs that run; those that have asked for a learner if not given.
    """
    is_alive, is_running = status in ("running", "unmanaged"), status == "running"
    jobs = [job for job in state.jobs.values() if job.job_id not in state.leaving]
    if started is None:
        started = {job.job_id for job in jobs if job.started is not None}
    n_started = sum(job.job_id in started for job in jobs)
    learners = [state.learners[index] for index in sorted(figures.ailing)]
    failures = [
        Failure(entry.index, entry.fails, entry.state == FAILED, entry.error)
        for entry in learners
        if entry.state == FAILED or entry.fails > 0
    ]
    return RunInfo(
        name=name,
        folder=folder,
        status=status,
        as_of=as_of,
        manager=manager,
        counts={learner_state: n for learner_state, n in state.learners.counts.items() if n},
        jobs_running=n_started if is_alive else 0,
        jobs_pending=len(jobs) - n_started if is_alive else 0,
        elapsed_time=elapsed_time,
        npoints=figures.npoints,
        rate=figures.rate if is_alive else 0.0,
        loss=figures.loss,
        cpu=figures.cpu if is_alive else None,
        memory=figures.memory if is_alive else None,
        core_hours=core_seconds / 3600,
        time_left=figures.time_left(state, as_of) if is_running else None,
        pending_reasons=dict(pending_reasons or {}),
        ends=dict(state.totals.ends.most_common()),
        trouble=trouble,
        is_paused=state.is_paused,
        learner_troubles={entry.index: entry.trouble for entry in learners if entry.trouble},
        failures=sorted(failures, key=lambda f: (not f.is_given_up, f.learner)),
    )


# In words.


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
        time_left = span(info.time_left, is_rough=True)
        parts.append("" if info.time_left is None else f"{time_left} left")
    status = f"{info.status} (paused)" if info.is_paused else info.status
    return f"{info.name} {status} {span(info.elapsed_time)}: " + ", ".join(p for p in parts if p)


def as_text(info: RunInfo) -> str:
    """Return the state of a run in some lines."""
    lines = [as_line(info), f"  folder: {info.folder}"]
    if manager := manager_in_words(info):
        lines.insert(1, f"  {manager}")
    if info.trouble:
        lines.append(f"  trouble: {info.trouble}")
    if info.is_paused and info.status == "running":
        lines.append("  paused: no new jobs are submitted until `resume()`")
    if info.pending_reasons and info.status == "running":
        reasons = ", ".join(f"{n} ({reason})" for reason, n in info.pending_reasons.items())
        lines.append(f"  pending: {reasons}")
    if ends := ends_in_words(info.ends):
        lines.append(f"  jobs that ended: {ends}")
    for who, words, _ in troubles_in_words(info):
        lines.append(f"  {who} {words}" if who else f"  {words}")
    return "\n".join(lines)


def manager_in_words(info: RunInfo) -> str:
    """Return who manages a run, and as of when it is told; empty if that is this process."""
    if info.manager == THIS_PROCESS or info.status == "not yet started":
        return ""
    stamp = "" if info.is_over else f"; as of {stamp_of(info.as_of)}"
    return f"managed by {info.manager}{stamp}" if info.manager else f"nobody manages it now{stamp}"


def stamp_of(time: float) -> str:
    """Return a time, in seconds since the epoch, as people read it."""
    return f"{datetime.fromtimestamp(time):%Y-%m-%d %H:%M:%S}"  # noqa: DTZ006  read by people


def ends_in_words(ends: Mapping[str, int]) -> str:
    """Return how jobs have ended and how many of them; nothing if all have ended well."""
    if not ends.keys() - {_WELL}:
        return ""
    return ", ".join(f"{n:,} {end}" for end, n in ends.items())


def troubles_in_words(info: RunInfo) -> Iterator[tuple[str, str, bool]]:
    """Yield what hinders learners, and why they failed: who, what, and whether that is final."""
    for learner, trouble in islice(info.learner_troubles.items(), FAILURES_SHOWN):
        yield f"learner {learner}", trouble, False
    yield from _more(len(info.learner_troubles), "have trouble")
    for failure in info.failures[:FAILURES_SHOWN]:
        yield f"learner {failure.learner}", str(failure), failure.is_given_up
    yield from _more(len(info.failures), "have failed")


def _more(n: int, what: str) -> Iterator[tuple[str, str, bool]]:
    if n > FAILURES_SHOWN:
        yield "", f"... and {n - FAILURES_SHOWN:,} more {what}", False
