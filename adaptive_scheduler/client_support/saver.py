"""Saves one learner now and then, and for good in the end; a disk in trouble is waited for."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from adaptive_scheduler.client_support.fence import SupersededError
from adaptive_scheduler.client_support.job_log import note
from adaptive_scheduler.client_support.place import Place, PlaceGoneError
from adaptive_scheduler.errors import DataFileError
from adaptive_scheduler.learners.merging import beside
from adaptive_scheduler.learners.paths import fname_to_str
from adaptive_scheduler.learners.rescue import (
    add_rescued,
    copy_into,
    node_rescue,
    remove_rescue,
    save_rescue,
)
from adaptive_scheduler.learners.storage import DataFiles, Snapshot, describe_writers

if TYPE_CHECKING:
    from adaptive import BaseLearner

    from adaptive_scheduler.learners.dataframes import _DATAFRAME_FORMATS
    from adaptive_scheduler.learners.paths import ResolvedFname

#: Seconds before a save that failed is tried again; this doubles up to the save interval.
_FIRST_PAUSE = 2.0
#: Seconds for which the last save of a learner that is done is tried again.
_LAST_PATIENCE = 600.0


class Saver:
    """The data of one learner on its way to the disk.

    Parameters
    ----------
    learner, fname
        What is saved, and where.
    interval
        Seconds between saves.
    dataframe_format
        Format in which the data is saved as a dataframe, too; None for not at all.
    may_save
        Called in another thread before each save; raises `SupersededError` if
        the learner is another job's by now.
    place
        Tells whether the folders that the job works in are still there; a save raises
        `PlaceGoneError` if they are not.
    """

    def __init__(
        self,
        learner: BaseLearner,
        fname: ResolvedFname,
        *,
        interval: float,
        dataframe_format: _DATAFRAME_FORMATS | None,
        may_save: Callable[[], None],
        place: Place,
    ) -> None:
        self._learner = learner
        self._fname = fname
        self._files = DataFiles(learner, fname)
        self._interval = interval
        self._dataframe_format = dataframe_format
        self._may_save = may_save
        self._place = place
        self._folders = {path.parent for path in fname.paths}
        self._put_aside = ""
        #: Why the last save has failed; empty if it has not.
        self.error = ""
        #: Set when there is trouble, or when it is over.
        self.news = asyncio.Event()

    @property
    def trouble(self) -> str:
        """What the user should know about the data; empty if all is well."""
        return "\n".join(filter(None, (self.error, self._put_aside)))

    def load(self) -> None:
        """Fill the learner with what was saved before.

        Raises
        ------
        DataFileError
            If that may be good, and can't be read now.
        """
        self._place.watch(self._folders)
        for aside in self._files.load():
            self._put_aside = str(aside)
            note(
                "a data file can't be read and was kept aside", level=logging.ERROR, file=str(aside)
            )
        if writers := self._files.other_writers:
            note(describe_writers(writers), level=logging.WARNING)

    def add_rescued(self, learner: int, folders: Iterable[Path]) -> None:
        """Add points that jobs of this run have rescued from learner number `learner`."""
        for line in add_rescued([self._learner], [self._fname], folders, indices=[learner]):
            note("rescued points", level=logging.WARNING, what=line)

    async def keep_saving(self) -> NoReturn:
        """Save every interval, and sooner after a save that failed."""
        pause = _FIRST_PAUSE
        while True:
            await asyncio.sleep(min(pause, self._interval) if self.error else self._interval)
            pause = _FIRST_PAUSE if await self.save() else 2 * pause

    async def save(self) -> bool:
        """Save what is new, and return whether it is saved; the evaluations go on meanwhile."""
        try:
            snapshot = self._files.snapshot()
            writing = asyncio.create_task(asyncio.to_thread(self._write, snapshot))
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            raise
        except DataFileError as error:
            self._note_error(str(error))
            return False
        if self.error:
            note("could save again")
            self._set_error("")
        self._save_dataframe()
        return True

    def _write(self, snapshot: Snapshot) -> None:
        self._place.check()
        self._may_save()
        self._files.write(snapshot, may_make=self._may_make)
        self._place.watch(self._folders)

    def _may_make(self, folder: Path) -> bool:
        """Whether a folder may be made: one that was there, and is gone, never again."""
        return not self._place.is_watched(folder)

    async def save_for_good(self, interrupted: asyncio.Future[Any], *, give_up_early: bool) -> bool:
        """Save for the last time, again and again if the disk is full.

        Parameters
        ----------
        interrupted
            When this resolves, the job must end: then there is one more try.
        give_up_early
            Have one try only.
        """
        deadline = time.monotonic() + (0 if give_up_early else _LAST_PATIENCE)
        pause = _FIRST_PAUSE
        while not await self.save():
            if time.monotonic() + pause > deadline:
                return False
            await asyncio.wait({interrupted}, timeout=pause)
            if interrupted.done():
                return await self.save()
            pause = min(2 * pause, max(self._interval, _FIRST_PAUSE))
        return True

    def save_beside(self, attempt: int, job_id: str, why: SupersededError) -> None:
        """Save under another name: what lies under the learner's own may be newer."""
        note("superseded", level=logging.WARNING, reason=str(why))
        other = beside(self._fname, attempt, job_id)
        try:
            files = DataFiles(self._learner, other)
            files.write(files.snapshot(), may_make=self._may_make)
        except DataFileError as error:
            self._note_error(str(error))
        else:
            note("points are kept beside", level=logging.WARNING, file=fname_to_str(other))

    def rescue(self, name: str, run_id: str, why: PlaceGoneError) -> str:
        """Save what the learner has where the run finds it, and return where that is. Blocks.

        The run folder is reached by its descriptor, whatever it is called now. Where it
        was deleted, or can't be written, the points stay on this node.
        """
        note("the place of this job is gone", level=logging.ERROR, reason=str(why))
        here = node_rescue(run_id) / name
        try:
            save_rescue(self._learner, self._fname, here)
        except (DataFileError, OSError) as error:
            note("points can't be rescued", level=logging.ERROR, error=str(error))
            return ""
        try:
            copy_into(self._place.run_folder.descriptor, here)
        except OSError as error:
            note(
                "points are rescued on this node",
                level=logging.ERROR,
                folder=str(here),
                error=str(error),
            )
            return f"{here} on {socket.gethostname()}"
        remove_rescue(here)
        note("points are rescued", level=logging.WARNING, folder=f"rescue/{name}")
        return f"'rescue/{name}' in the run folder"

    def _note_error(self, error: str) -> None:
        note("could not save", level=logging.ERROR, error=error)
        self._set_error(error)

    def _set_error(self, error: str) -> None:
        if error != self.error:
            self.error = error
            self.news.set()

    def _save_dataframe(self) -> None:
        if self._dataframe_format is None:
            return
        from adaptive_scheduler.learners.dataframes import save_dataframe_there

        try:
            save_dataframe_there(self._learner, self._fname, self._dataframe_format)
        except Exception as error:  # noqa: BLE001  the data itself is saved already
            note("could not save the dataframe", level=logging.ERROR, error=repr(error))
