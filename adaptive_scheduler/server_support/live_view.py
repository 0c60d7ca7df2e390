"""A run of this process, as it is shown: the one place that reaches into its managers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from adaptive_scheduler._common.tail import START, NewLines, Position, read_new_lines
from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.run_folder.attempts import AttemptSummary, attempts_at
from adaptive_scheduler.run_folder.commands import in_words
from adaptive_scheduler.run_folder.history import History
from adaptive_scheduler.server_support.event_loop import event_loop
from adaptive_scheduler.server_support.info import THIS_PROCESS, RunInfo, make_info
from adaptive_scheduler.server_support.view import (
    JobRow,
    LearnerRow,
    Rows,
    Version,
    job_row,
    learner_row,
)

if TYPE_CHECKING:
    from adaptive_scheduler.learners.paths import ResolvedFname
    from adaptive_scheduler.protocol.messages import Command
    from adaptive_scheduler.run_folder.layout import RunFolder
    from adaptive_scheduler.scheduler.jobs import QueuedJob
    from adaptive_scheduler.server_support.run_manager import RunManager

#: Rows that are read at once, so that the manager never waits long for who looks.
_AT_ONCE: Final = 2000


class LiveView:
    """A run, by its manager.

    Parameters
    ----------
    run_manager
        The manager.
    """

    def __init__(self, run_manager: RunManager) -> None:
        self._run = run_manager

    @property
    def folder(self) -> RunFolder:
        """Where the run keeps its files."""
        return self._run.run_folder

    @property
    def n_learners(self) -> int:
        """How many learners the run has."""
        return len(self._run.learners)

    @property
    def fnames(self) -> Sequence[ResolvedFname]:
        """The names of all learners' data files, and where those lie."""
        return self._run.database_manager.resolved

    def info(self) -> RunInfo:
        """Return the state of the run as a whole."""
        self._run.database_manager.record.refresh()
        status, manager = self._run.status(), self._manager()
        return event_loop.call(self._info, status, manager)

    def rows(self, changed_since: Version | None = None) -> Rows:
        """Return the learners that have changed since; all of them if nothing was seen yet."""
        self._run.database_manager.record.refresh()
        indices, version = event_loop.call(self._changed, changed_since)
        rows: list[LearnerRow] = []
        for i in range(0, len(indices), _AT_ONCE):
            rows += event_loop.call(self._rows, indices[i : i + _AT_ONCE])
        return Rows(rows, version)

    def learner(self, index: int) -> LearnerRow:
        """Return one learner.

        Raises
        ------
        InvalidInputError
            If there is no such learner.
        """
        if index not in range(self.n_learners):
            raise InvalidInputError(
                f"The run has learners 0 to {self.n_learners - 1}, and no learner {index}."
            )
        self._run.database_manager.record.refresh()
        (row,) = event_loop.call(self._rows, [index])
        return row

    def jobs(self) -> list[JobRow]:
        """Return the jobs in the queue."""
        self._run.database_manager.record.refresh()
        return event_loop.call(self._jobs)

    def history(self) -> History:
        """Return the run over time."""
        return self._run.monitor.history

    def attempts(self, index: int) -> list[AttemptSummary]:
        """Return all attempts at a learner that are known, the first one first."""
        return attempts_at(self.folder, index, self.n_learners)

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
        match command:
            case "pause":
                self._run.pause()
                return in_words("pause")
            case "resume":
                self._run.resume()
                return in_words("resume")
            case "retry":
                return in_words("retry", self._run.retry(learners))
            case "cancel" if learners is None:
                self._run.cancel()
                return in_words("cancel")
            case "cancel":
                return in_words("cancel", self._run.cancel_learners(learners))

    # On the event loop.

    def _info(self, status: str, manager: str) -> RunInfo:
        run, now = self._run, time.time()
        run.monitor.catch_up(now)
        return make_info(
            run.database_manager.state,
            run.monitor.figures,
            name=run.job_name,
            folder=str(run.run_folder.root),
            status=status,
            as_of=now,
            manager=manager,
            elapsed_time=run.elapsed_time(),
            core_seconds=run.monitor.core_seconds,
            started=run.database_manager.reconciler.started(),
            pending_reasons=_pending_reasons(run.database_manager.reconciler.queue),
            trouble=self._trouble(),
        )

    def _trouble(self) -> str:
        """Return what can't be done at the moment; empty if all is well."""
        kill_manager = self._run.kill_manager
        killing = "" if kill_manager is None else kill_manager.state_of_task()
        return (
            self._run.job_manager.trouble
            or self._run.database_manager.disk_trouble
            or (f"the kill manager {killing}" if killing.startswith("failed") else "")
        )

    def _changed(self, since: Version | None) -> tuple[list[int], Version]:
        monitor = self._run.monitor
        monitor.catch_up(time.time())
        return monitor.changes.since(since), monitor.changes.version

    def _rows(self, indices: Sequence[int]) -> list[LearnerRow]:
        database, figures = self._run.database_manager, self._run.monitor.figures
        told, seen = database.handler.figures, database.handler.last_seen
        state = database.state
        return [
            learner_row(self.folder, state, i, figures, told=told.get(i, {}), seen=seen.get(i))
            for i in indices
        ]

    def _jobs(self) -> list[JobRow]:
        jobs, seen = self._run.database_manager.state.jobs, self._run.database_manager.reconciler
        return [job_row(job, seen.queue.get(i), seen.started_at(job)) for i, job in jobs.items()]

    def _manager(self) -> str:
        if not self._run.database_manager.record.is_following:
            return THIS_PROCESS
        holder = self._run.database_manager.other_holder()
        return "" if holder is None else str(holder)


def _pending_reasons(queue: Mapping[str, QueuedJob]) -> dict[str, int]:
    return dict(Counter(_reasons(queue)).most_common())


def _reasons(queue: Mapping[str, QueuedJob]) -> Iterator[str]:
    """Yield for each pending job why it is, where the scheduler says so."""
    for job in queue.values():
        if job["alive"] and not job["running"] and job["reason"]:
            yield job["reason"]
