"""A run as its folder shows it: journal, outbox, logs and history, and nothing else.

It needs no manager and asks no scheduler, and whoever manages the run does not notice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adaptive_scheduler._common.tail import START, NewLines, Position, read_new_lines
from adaptive_scheduler.errors import AdaptiveSchedulerError, InvalidInputError
from adaptive_scheduler.learners.pack import Pack
from adaptive_scheduler.learners.paths import ResolvedFname
from adaptive_scheduler.protocol import messages
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.attempts import AttemptSummary, attempts_at
from adaptive_scheduler.run_folder.history import History, Sample, read_history
from adaptive_scheduler.run_folder.journal import JournalFollower
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.run_folder.lock import Holder, living_holder
from adaptive_scheduler.run_folder.log_lines import last_status
from adaptive_scheduler.run_folder.models import DONE, RUNNING, LearnerEntry
from adaptive_scheduler.run_folder.outbox import Outbox
from adaptive_scheduler.run_folder.spec import RunSpec
from adaptive_scheduler.run_folder.state import RunState
from adaptive_scheduler.run_folder.watched_state import WatchedState
from adaptive_scheduler.server_support.info import RunInfo, make_info
from adaptive_scheduler.server_support.learner_figures import LearnerFigures
from adaptive_scheduler.server_support.message_handler import MessageHandler
from adaptive_scheduler.server_support.view import (
    ChangeLog,
    JobRow,
    LearnerRow,
    Rows,
    Version,
    job_row,
    learner_row,
)

if TYPE_CHECKING:
    from adaptive_scheduler.protocol.messages import Command

#: Logs of jobs that are looked at each time; where there are more, one after the other.
_LOGS_AT_ONCE: Final = 200
#: Seconds of the latest history from which a rate is told, where no log tells any.
_RECENT: Final = 300.0


class FolderView:
    """A run, by its folder.

    Parameters
    ----------
    root
        The run folder.
    send
        Does what `command` is asked to; without it, the run is only looked at.
    trust
        Whether to show a run that another user may have written: there is no code in what
        is read. Whoever acts on what it says must not.

    Attributes
    ----------
    spec
        What the run is.

    Raises
    ------
    RunFolderError
        If there is no run, or its journal can't be read.
    UntrustedFileError
        Without `trust`, if another user may have written its spec or journal.
    """

    def __init__(
        self,
        root: str | Path,
        send: Callable[[Command, Sequence[int] | None], str] | None = None,
        *,
        trust: bool = True,
    ) -> None:
        self.spec = RunSpec.read(root, trust=trust)
        self._folder = self.spec.run_folder
        self._send = send
        self._lock = threading.Lock()
        self._trust = trust
        self._follower = JournalFollower(self._folder.journal, trust=trust)
        self._record = _Record(self.spec)
        self._reports: list[Path] = []
        self._history = History()
        self._holder: Holder | None = None
        with self._lock:
            self._catch_up()

    @property
    def folder(self) -> RunFolder:
        """Where the run keeps its files."""
        return self._folder

    @property
    def n_learners(self) -> int:
        """How many learners the run has."""
        return len(self._record.state.learners)

    @property
    def fnames(self) -> Sequence[ResolvedFname]:
        """The names of all learners' data files, and where those lie.

        Raises
        ------
        RunFolderError
            If there are no learners in the folder.
        """
        return self.spec.project.resolve_all(Pack(self._folder.pack, trust=self._trust).fnames)

    @property
    def state(self) -> RunState:
        """What journal and outbox say, as of the last look."""
        return self._record.state

    @property
    def holder(self) -> Holder | None:
        """Who manages the run, as of the last look; None if nobody does."""
        return self._holder

    def info(self) -> RunInfo:
        """Return the state of the run as a whole."""
        with self._lock:
            self._catch_up()
            return self._info(time.time())

    def rows(self, changed_since: Version | None = None) -> Rows:
        """Return the learners that have changed since; all of them if nothing was seen yet."""
        with self._lock:
            self._catch_up()
            changes = self._record.changes
            rows = [self._row(index) for index in changes.since(changed_since)]
            return Rows(rows, changes.version)

    def learner(self, index: int) -> LearnerRow:
        """Return one learner.

        Raises
        ------
        InvalidInputError
            If there is no such learner.
        """
        with self._lock:
            self._catch_up()
            if index not in range(self.n_learners):
                raise InvalidInputError(
                    f"The run has learners 0 to {self.n_learners - 1}, and no learner {index}."
                )
            return self._row(index)

    def jobs(self) -> list[JobRow]:
        """Return the jobs in the queue, as far as it is recorded."""
        with self._lock:
            self._catch_up()
            if self.state.ended is not None:
                return []
            return [job_row(job, None, job.started) for job in self.state.jobs.values()]

    def history(self) -> History:
        """Return the run over time."""
        with self._lock:
            self._catch_up()
            return self._history

    def attempts(self, index: int) -> list[AttemptSummary]:
        """Return all attempts at a learner that are known, the first one first."""
        return attempts_at(self._folder, index, self.n_learners)

    def log_lines(
        self,
        path: Path,
        since: Position = START,
        *,
        first: int | None = None,
        later: int | None = None,
    ) -> NewLines:
        """Return what was added to a log or to output, see `read_new_lines`."""
        return read_new_lines(path, since, first=first, later=later)

    def command(self, command: Command, learners: Sequence[int] | None = None) -> str:
        """Pause, resume, retry or cancel, and return what was done in words.

        Raises
        ------
        AdaptiveSchedulerError
            If it can't be done.
        """
        if self._send is None:
            raise AdaptiveSchedulerError(f"The run in '{self._folder.root}' is only looked at.")
        return self._send(command, learners)

    # What the files say.

    def _catch_up(self) -> None:
        """Read what is new: the record first, since logs are read of learners that run."""
        self._holder = living_holder(self._folder)
        records = list(self._follower.new_records())
        if records and self._reports:  # what was reported stands in the journal by now
            self._follower = JournalFollower(self._folder.journal, trust=self._trust)
            records = list(self._follower.new_records())
        for record in records:
            if isinstance(record, events.RunBegan):  # another file has taken the journal's place
                if record.run_id != self.spec.run_id:
                    self.spec = RunSpec.read(self._folder.root, trust=self._trust)
                self._record = _Record(self.spec)
                self._reports = []
            self._record.apply(record)
        self._read_outbox()
        self._history = read_history(self._folder.history)
        self._record.read_logs()
        self._record.count()

    def _read_outbox(self) -> None:
        """Count what jobs have reported and no manager has recorded yet."""
        outbox = Outbox(self._folder.outbox)
        for path, message in outbox.messages(but=set(self._reports)):
            if message is not None:
                self._record.answer(message)
                self._reports.append(path)

    def _status(self) -> str:
        if self.state.ended is not None:
            return self.state.ended
        return "unmanaged" if self._holder is None else "running"

    def _info(self, now: float) -> RunInfo:
        samples, status = self._history.samples, self._status()
        as_of = now if status == "running" else self._last_sign(now)
        info = make_info(
            self.state,
            self._record.figures,
            name=self.spec.job_name,
            folder=str(self._folder.root),
            status=status,
            as_of=as_of,
            manager="" if self._holder is None else str(self._holder),
            elapsed_time=_elapsed(self.state, as_of),
            core_seconds=samples[-1].core_seconds if samples else 0.0,
        )
        if not samples:
            return info
        # Of learners that no job has now, only the manager that wrote the history may know.
        return replace(
            info,
            npoints=max(info.npoints, samples[-1].npoints),
            rate=info.rate or (_rate(samples) if status == "running" else 0.0),
            loss=info.loss if samples[-1].loss is None else samples[-1].loss,
        )

    def _last_sign(self, now: float) -> float:
        """Return when the run was last heard of, in seconds since the epoch."""
        files = [self._folder.journal, self._folder.history, *self._reports]
        times = [path.stat().st_mtime for path in files if path.exists()]
        return min(now, max([*times, *self._record.seen.values()], default=now))

    def _row(self, index: int) -> LearnerRow:
        record = self._record
        told, seen = record.told_of(record.state.learners[index]), record.seen.get(index)
        return learner_row(self._folder, record.state, index, record.figures, told=told, seen=seen)


class _Record:
    """What is known of the learners: from the journal, the outbox and the logs.

    Parameters
    ----------
    spec
        What the run is.
    """

    def __init__(self, spec: RunSpec) -> None:
        self._folder = spec.run_folder
        self.state = RunState(
            spec.groups or [0] * spec.n_learners,
            dependencies=spec.dependencies or {},
            max_fails=spec.max_fails_per_job,
        )
        self.figures = LearnerFigures(spec.n_learners)
        self.changes = ChangeLog()
        self._watched = WatchedState(self.state)
        self._changed = self._watched.watch()
        self._changed.update(range(spec.n_learners))
        self._handler = MessageHandler(self._watched, self._watched.apply, _ignore, _refuse)
        self._sizes: dict[int, tuple[Path, int]] = {}
        self._turn = 0
        self._told: dict[int, Mapping[str, Any]] = {}
        #: When jobs were last heard of, in seconds since the epoch.
        self.seen: dict[int, float] = {}

    def apply(self, record: events.AnyRecord) -> None:
        """Apply a record of the journal."""
        self._watched.apply(record)

    def answer(self, message: messages.Message) -> None:
        """Note what a job has reported, as a manager would."""
        self._handler.answer(message)
        if isinstance(message, messages.Done):
            self._told[message.attempt.learner] = message.figures

    def read_logs(self) -> None:
        """Look at the ends of the logs of jobs that have learners."""
        running = [entry for entry in self.state.learners if entry.state == RUNNING]
        n = min(_LOGS_AT_ONCE, len(running))
        for i in range(self._turn, self._turn + n):
            self._read_log(running[i % len(running)])
        self._turn = (self._turn + n) % max(1, len(running))

    def _read_log(self, entry: LearnerEntry) -> None:
        job_id = "" if entry.job is None else entry.job.job_id
        path = self._folder.log_now(entry.log_fname, entry.job_name, job_id)
        if path is None:
            return
        try:
            stat = path.stat()
            if self._sizes.get(entry.index) == (path, stat.st_size):
                return
            status = last_status(path, entry.index)
        except OSError:  # there is none yet, or it can't be read now
            return
        self._sizes[entry.index] = path, stat.st_size
        if status:
            self._told[entry.index], self.seen[entry.index] = status, stat.st_mtime
            self._changed.add(entry.index)

    def told_of(self, entry: LearnerEntry) -> Mapping[str, Any]:
        """Return what the job of a learner has told last."""
        told = self._told.get(entry.index, {})
        if entry.state == DONE and entry.npoints is not None:  # the log may have ended before
            return {**told, "npoints": entry.npoints}
        return told

    def count(self) -> None:
        """Count what has changed."""
        if not self._changed:
            return
        for index in self._changed:
            entry = self.state.learners[index]
            self.figures.note(entry, self.told_of(entry), self.seen.get(index))
        self.changes.note(self._changed)
        self._changed.clear()


def _ignore() -> None:
    """Let a message be that no job leaves in an outbox."""


def _refuse(_: messages.CommandRequest) -> messages.CommandResult:
    return messages.CommandResult("Nobody manages the run.", is_refused=True)


def _elapsed(state: RunState, now: float) -> float:
    began, ended = state.totals.began, state.totals.ended
    return 0.0 if began is None else max(0.0, (now if ended is None else ended) - began)


def _rate(samples: Sequence[Sample]) -> float:
    """Return how many points a second there were lately."""
    recent = [sample for sample in samples if sample.time >= samples[-1].time - _RECENT]
    seconds = recent[-1].time - recent[0].time
    return (recent[-1].npoints - recent[0].npoints) / seconds if seconds > 0 else 0.0
