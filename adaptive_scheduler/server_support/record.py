"""The record of a run: its journal, the state that this tells, and who watches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler.errors import RunFolderError
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import Journal, JournalFollower
from adaptive_scheduler.run_folder.watched_state import WatchedState
from adaptive_scheduler.server_support.event_loop import event_loop
from adaptive_scheduler.server_support.restore import open_journal

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.state import RunState


class Record:
    """What has happened to a run, on disk and in memory.

    It belongs to the event loop; methods that block say so, and are called elsewhere.

    Parameters
    ----------
    path
        The journal.
    state
        What it tells. It is empty, and changes by the records of the journal only.
    """

    def __init__(self, path: Path, state: RunState) -> None:
        self.path = path
        self.state = state
        self.watched = WatchedState(state)
        self._journal: Journal | None = None
        self._follower: JournalFollower | None = None
        self._following = threading.Lock()
        self._observers: list[Callable[[], None]] = []

    def observe(self, observer: Callable[[], None]) -> None:
        """Have a function called after each record that is appended."""
        self._observers.append(observer)

    def append(self, record: events.AnyRecord) -> None:
        """Apply a record to the state, append it to the journal, and notify the observers.

        It lies on disk after the next `flush`.
        """
        if self._journal is None:
            raise RunFolderError("The record of this run is not open; call `start()` first.")
        self.watched.apply(record)
        self._journal.append(record)
        for observer in self._observers:
            observer()

    # The journal.

    def open(
        self,
        digest: str,
        *,
        retry: Collection[int] | None,
        may_write: Callable[[], bool],
        is_copy: bool = False,
    ) -> None:
        """Read the journal, or begin one, and write from now on. Blocks.

        Parameters
        ----------
        digest
            Tells the fnames of this run from those of others.
        retry
            Learners that get new tries; None for all that have failed.
        may_write
            Asked before each write whether this is still the one who writes.
        is_copy
            Whether it is a copy of the journal of another run, see `open_journal`.

        Raises
        ------
        RunFolderError
            If it is the record of another run, or can't be read.
        OSError
            If it can't be written.
        """
        with self._following:  # nothing more of what was read is applied
            self._follower = None
        self._journal = open_journal(
            self.path,
            self.state,
            self.watched.apply,
            digest,
            retry=retry,
            may_write=may_write,
            is_copy=is_copy,
        )

    @property
    def is_flushed(self) -> bool:
        """Whether every record lies on disk."""
        return self._journal is None or self._journal.is_flushed

    def flush(self) -> None:
        """Write what is waiting, and wait until it lies on disk. Blocks.

        Raises
        ------
        OSError
            If that failed; the records keep waiting.
        """
        if self._journal is not None:
            self._journal.flush()

    def close(self) -> None:
        """Write no more."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    # What another process writes.

    def follow(self) -> None:
        """Show what the journal says, as long as another process writes it. Blocks."""
        self._follower = JournalFollower(self.path)
        self.refresh()

    @property
    def is_following(self) -> bool:
        """Whether another process writes, as far as is known."""
        return self._follower is not None

    def refresh(self) -> None:
        """Read what another process has written since; what we write ourselves is known. Blocks.

        On the event loop it does nothing: that reads no files, and must not wait for
        whoever reads them, and then waits for the loop.
        """
        if event_loop.is_current:
            return
        with self._following:
            if self._follower is None:
                return
            records = list(self._follower.new_records())
            event_loop.call(self._apply_all, records)

    def _apply_all(self, records: Sequence[events.AnyRecord]) -> None:
        for record in records:
            self.watched.apply(record)
