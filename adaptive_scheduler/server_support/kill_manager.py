"""Cancels jobs whose output says that they are lost."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Unpack

from adaptive_scheduler._common.signatures import Face
from adaptive_scheduler._common.tail import START, Position, read_new_lines
from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.run_folder.options import KillManagerOptions
from adaptive_scheduler.run_folder.spec import RunSpec
from adaptive_scheduler.server_support.base_manager import BaseManager
from adaptive_scheduler.server_support.logs import matches
from adaptive_scheduler.server_support.ownership import known_as_ours

if TYPE_CHECKING:
    from adaptive_scheduler.scheduler.base import BaseScheduler
    from adaptive_scheduler.server_support.database_manager import DatabaseManager

log = logging.getLogger(__name__)


#: The parameters of a run that are its own here, with their names and defaults.
KILL_FACE: Final = Face(
    "KillManager",
    RunSpec,
    shown={"kill_on_error", "kill_interval", "max_cancel_tries", "move_killed_output_to"},
    defaults={"kill_interval": 600},
    names={
        "kill_on_error": "error",
        "kill_interval": "interval",
        "move_killed_output_to": "move_to",
    },
)


@KILL_FACE
class KillManager(BaseManager):
    """Reads what is new in the output of running jobs, and cancels those that match.

    Parameters
    ----------
    scheduler
        Where the jobs run.
    database_manager
        Who has which learner.
    **options
        See `RunSpec`.

    Raises
    ------
    TypeError
        If there is no such keyword.
    InvalidInputError
        If a value can't be.
    """

    def __init__(
        self,
        scheduler: BaseScheduler,
        database_manager: DatabaseManager,
        **options: Unpack[KillManagerOptions],
    ) -> None:
        super().__init__()
        spec = RunSpec(run_folder=database_manager.run_folder, **KILL_FACE.read(options))
        if spec.kill_on_error is None:
            raise InvalidInputError("`error` is None: there is nothing to look for.")
        self.scheduler = scheduler
        self.database_manager = database_manager
        self.error = spec.kill_on_error
        self.interval = spec.kill_interval
        self.max_cancel_tries = spec.max_cancel_tries
        to = spec.move_killed_output_to
        self.move_to = None if to is None else Path(to)
        #: Ids of the jobs that were cancelled.
        self.cancelled: list[str] = []
        #: How often the output of all jobs was looked at.
        self.n_looks = 0
        self._read: dict[Path, Position] = {}
        self._lines: dict[str, list[str]] = {}
        self._tries: dict[str, int] = {}
        self._said: set[str] = set()

    async def _manage(self) -> None:
        while True:
            await asyncio.sleep(self.interval)
            lost = await self._lost_jobs()
            self.n_looks += 1
            if lost:
                await self._kill(lost)

    async def _lost_jobs(self) -> dict[str, Path]:
        """Return the living jobs whose output matches: where that is, by their ids."""
        database = self.database_manager
        ours = known_as_ours(database.state, database.state.jobs, database.reconciler.queue)
        started = database.reconciler.started()
        running = (database.state.jobs[job_id] for job_id in ours if job_id in started)
        files = {
            job.job_id: database.run_folder.output_of(job.job_name, job.job_id) for job in running
        }
        for gone in self._lines.keys() - files.keys():
            del self._lines[gone]
        found = await asyncio.to_thread(self._matching, files)
        return {i: files[i] for i in found if self._tries.get(i, 0) < self.max_cancel_tries}

    def _matching(self, files: dict[str, Path]) -> list[str]:
        """Read what is new, and return the ids of the jobs that are to be cancelled."""
        found = []
        for job_id, path in files.items():
            lines = self._new_lines(path)
            if not isinstance(self.error, str):
                # A condition is one on all lines: they are kept, not read again.
                lines = self._lines[job_id] = self._lines.get(job_id, []) + lines
            if job_id in self._tries or self._matches(lines):
                found.append(job_id)
        return found

    def _matches(self, lines: list[str]) -> bool:
        try:
            return matches(self.error, lines)
        except Exception as error:  # noqa: BLE001  the user's function: other jobs are looked at
            self._warn_once(f"The function that looks for errors has raised {error!r}.")
            return False

    def _warn_once(self, words: str) -> None:
        if words not in self._said:
            log.warning("%s", words)
        self._said.add(words)

    def _new_lines(self, path: Path) -> list[str]:
        try:
            added = read_new_lines(path, self._read.get(path, START))
        except OSError as error:  # other jobs are looked at all the same, and this one again
            self._warn_once(f"What a job has printed can't be read: {error}")
            return []
        self._read[path] = added.position
        return added.lines

    async def _kill(self, lost: dict[str, Path]) -> None:
        for job_id in lost:
            self._tries[job_id] = self._tries.get(job_id, 0) + 1
        log.warning("Cancelling jobs whose output matches: %s", ", ".join(lost))
        try:
            await asyncio.to_thread(self.scheduler.cancel_ids, list(lost))
        except Exception as error:  # noqa: BLE001  a scheduler that errs must not end the looking
            log.warning("Jobs whose output matches can't be cancelled: %s", error)
            return
        self.cancelled += [job_id for job_id in lost if job_id not in self.cancelled]
        if self.move_to is not None:
            folder = self.database_manager.project.path(self.move_to)
            try:
                await asyncio.to_thread(self._move, lost.values(), folder)
            except OSError as error:
                self._warn_once(f"The output of jobs that were cancelled can't be moved: {error}")

    def _move(self, outputs: Iterable[Path], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for path in outputs:
            if path.exists():
                shutil.move(path, folder / path.name)
                self._read.pop(path, None)
