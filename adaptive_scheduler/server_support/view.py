"""A run as it is shown: the one thing that dashboards, the command line and terminals see.

`RunView` has two implementations. `LiveView` is of a run of this process, and `FolderView`
of any run, by its folder: it needs no manager, asks no scheduler and unpickles nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from adaptive_scheduler._common.tail import START, NewLines, Position
from adaptive_scheduler.run_folder.attempts import AttemptSummary
from adaptive_scheduler.run_folder.history import History
from adaptive_scheduler.server_support.learner_figures import LearnerFigures, number

if TYPE_CHECKING:
    from adaptive_scheduler.learners.paths import ResolvedFname
    from adaptive_scheduler.protocol.messages import Command
    from adaptive_scheduler.run_folder.layout import RunFolder
    from adaptive_scheduler.run_folder.models import JobEntry
    from adaptive_scheduler.run_folder.state import RunState
    from adaptive_scheduler.scheduler.jobs import QueuedJob
    from adaptive_scheduler.server_support.info import RunInfo


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnerRow:
    """One learner at one moment; None where nothing is known.

    Attributes
    ----------
    index, state
        Which learner, and its state in a word.
    npoints, loss, share
        How many points it has, its loss, and how much of the way to its goal it has gone.
    attempt, fails
        Number of the last attempt, and how many have failed in a row.
    job_id, job_name, host
        Of the job that has it, or had it last; empty if none has.
    log, output
        Where that job logs what it does, and where its output goes.
    cpu, memory
        Of that job: percent of one core, and of the host's memory.
    started, ended, seen
        When the attempt began and ended, and when its job was last heard of, in seconds
        since the epoch.
    error, traceback, trouble
        Why it failed last, and what hinders its job.
    last_end
        How the last job ended that had it, in the scheduler's words.
    depends_on
        The learners that must be done before.
    """

    index: int
    state: str
    npoints: float | None
    loss: float | None
    share: float | None
    attempt: int
    fails: int
    job_id: str
    job_name: str
    host: str
    log: Path | None
    output: Path | None
    cpu: float | None
    memory: float | None
    started: float | None
    ended: float | None
    seen: float | None
    error: str
    traceback: str
    trouble: str
    last_end: str
    depends_on: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRow:
    """One job in the queue.

    Attributes
    ----------
    job_id, job_name
        Which job.
    state, reason
        Its state in the scheduler's words, and why it is pending; empty if nobody has asked.
    learner
        The learner that it has.
    submitted, started
        In seconds since the epoch.
    """

    job_id: str
    job_name: str
    state: str
    reason: str
    learner: int | None
    submitted: float
    started: float | None


@dataclass(frozen=True)
class Version:
    """What has been seen of the rows of a run; whoever gets one only hands it back."""

    changes: ChangeLog
    number: int


@dataclass(frozen=True)
class Rows:
    """Learners that have changed.

    Attributes
    ----------
    rows
        The learners as they are now.
    version
        What to ask with for those that change from now on.
    """

    rows: list[LearnerRow]
    version: Version


class RunView(Protocol):
    """A run as it is shown. All methods may block, and may be called from any thread."""

    @property
    def folder(self) -> RunFolder:
        """Where the run keeps its files."""

    @property
    def n_learners(self) -> int:
        """How many learners the run has."""

    @property
    def fnames(self) -> Sequence[ResolvedFname]:
        """The names of all learners' data files, and where those lie."""

    def info(self) -> RunInfo:
        """Return the state of the run as a whole."""

    def rows(self, changed_since: Version | None = None) -> Rows:
        """Return the learners that have changed since; all of them if nothing was seen yet."""

    def learner(self, index: int) -> LearnerRow:
        """Return one learner."""

    def jobs(self) -> list[JobRow]:
        """Return the jobs in the queue."""

    def history(self) -> History:
        """Return the run over time."""

    def attempts(self, index: int) -> list[AttemptSummary]:
        """Return all attempts at a learner that are known, the first one first."""

    def log_lines(
        self,
        path: Path,
        since: Position = START,
        *,
        first: int | None = None,
        later: int | None = None,
    ) -> NewLines:
        """Return what was added to a log or to output, see `read_new_lines`."""

    def command(self, command: Command, learners: Sequence[int] | None = None) -> str:
        """Pause, resume, retry or cancel, and return what was done in words.

        Raises
        ------
        AdaptiveSchedulerError
            If it can't be done.
        """


class ChangeLog:
    """Knows which learners have changed since when, at the cost of what has changed."""

    def __init__(self) -> None:
        self._number = 0
        self._numbers: dict[int, int] = {}  # in the order of the last changes

    def note(self, indices: Iterable[int]) -> None:
        """Count learners as changed now."""
        self._number += 1
        for index in indices:
            self._numbers.pop(index, None)
            self._numbers[index] = self._number

    def since(self, version: Version | None) -> list[int]:
        """Return which learners have changed since a version; all if it is of another log."""
        seen = version.number if version is not None and version.changes is self else 0
        changed = []
        for index in reversed(self._numbers):
            if self._numbers[index] <= seen:
                break
            changed.append(index)
        return changed

    @property
    def version(self) -> Version:
        """What has been seen by whoever has asked just now."""
        return Version(self, self._number)


def learner_row(
    folder: RunFolder,
    state: RunState,
    index: int,
    figures: LearnerFigures,
    *,
    told: Mapping[str, object],
    seen: float | None,
) -> LearnerRow:
    """Return a learner as it is shown.

    Parameters
    ----------
    folder
        Where the run keeps its files.
    state, index, figures
        What is recorded, of which learner, and what is counted.
    told, seen
        What its job has told last, and when.
    """
    entry = state.learners[index]
    job_id = "" if entry.job is None else entry.job.job_id
    return LearnerRow(
        index=index,
        state=entry.state,
        npoints=number(told.get("npoints", entry.npoints)),
        loss=number(told.get("latest_loss")),
        share=figures.share(index),
        attempt=entry.attempt,
        fails=entry.fails,
        job_id=job_id,
        job_name=entry.job_name,
        host=entry.host,
        log=folder.log_now(entry.log_fname, entry.job_name, job_id),
        output=folder.output_of(entry.job_name, job_id) if job_id else None,
        cpu=number(told.get("cpu_usage")),
        memory=number(told.get("mem_usage")),
        started=entry.started,
        ended=entry.ended,
        seen=seen if seen is not None else entry.ended or entry.started,
        error=entry.error,
        traceback=entry.traceback,
        trouble=entry.trouble,
        last_end=entry.last_end,
        depends_on=tuple(state.learners.dependencies.get(index, ())),
    )


def job_row(job: JobEntry, seen: QueuedJob | None, started: float | None) -> JobRow:
    """Return a job as it is shown: what is recorded of it, and what the queue shows."""
    is_waiting = seen is not None and not seen["running"]
    return JobRow(
        job_id=job.job_id,
        job_name=job.job_name,
        state="" if seen is None else seen["state"],
        reason=seen["reason"] if seen is not None and is_waiting else "",
        learner=job.learner,
        submitted=job.submitted,
        started=started,
    )
