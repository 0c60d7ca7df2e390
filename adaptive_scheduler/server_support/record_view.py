"""What the record of a run says, whoever writes it: this process, or another one."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import JournalFollower
from adaptive_scheduler.run_folder.state import DONE, RunState
from adaptive_scheduler.server_support.base_manager import BaseManager
from adaptive_scheduler.server_support.event_loop import event_loop
from adaptive_scheduler.server_support.tables import database_rows

if TYPE_CHECKING:
    import pandas as pd

    from adaptive_scheduler.learners.paths import FnameTypes
    from adaptive_scheduler.run_folder.layout import RunFolder


class RecordView(BaseManager):
    """The side of a `DatabaseManager` that shows the record.

    Before `start` it shows what another process writes, if it follows that.

    Parameters
    ----------
    run_folder
        Where the journal is.
    fnames
        The data files of all learners.
    groups, dependencies
        As for a `RunState`.
    """

    def __init__(
        self,
        run_folder: RunFolder,
        fnames: Sequence[FnameTypes],
        groups: Sequence[Hashable],
        dependencies: Mapping[int, Sequence[int]],
    ) -> None:
        super().__init__()
        self.run_folder = run_folder
        self.fnames = fnames
        self.groups = groups
        self.dependencies = dependencies
        self.state = RunState(groups, dependencies=dependencies)
        self._follower: JournalFollower | None = None
        self._following = threading.Lock()

    # What another process writes.

    def follow(self) -> None:
        """Show what the journal says, as long as another process writes it. Blocks."""
        self._begin_following()
        self.refresh()

    @property
    def is_following(self) -> bool:
        """Whether this manager has only looked so far."""
        return self._follower is not None

    def refresh(self) -> None:
        """Read what another manager has written since; one's own state is always fresh. Blocks.

        On the event loop it does nothing: that reads no files, and must not wait for
        whoever reads them, and then waits for the loop.
        """
        if event_loop.is_current:
            return
        with self._following:
            if self._follower is None:
                return
            records = list(self._follower.new_records())
            event_loop.call(lambda: self._take_note(records))

    def _begin_following(self) -> None:
        self._follower = JournalFollower(self.run_folder.journal)

    def _end_following(self) -> None:
        """Have nothing that was read come into the state any more. Blocks."""
        with self._following:
            self._follower = None

    def _take_note(self, records: Sequence[events.AnyRecord]) -> None:
        for record in records:
            if isinstance(record, events.RunBegan):  # another file has taken the journal's place
                self._begin_state()
            self.state.apply(record)

    def _begin_state(self) -> None:
        """Forget everything, to be told it from the start; those who watch go on watching."""
        state = RunState(
            self.groups, dependencies=self.dependencies, max_fails=self.state.max_fails
        )
        state.take_watchers(self.state)
        self.state = state

    # For users.

    def n_done(self) -> int:
        """Return how many learners have reached their goals."""
        self.refresh()
        return event_loop.call(lambda: self.state.counts[DONE])

    def n_unscheduled(self) -> int:
        """Return how many learners no job has or is done with."""
        self.refresh()
        return event_loop.call(lambda: self.state.n_unscheduled)

    def is_done(self) -> bool:
        """Return whether all learners have reached their goals."""
        return self.n_done() == len(self.fnames)

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return the record as a list with a dictionary for each learner."""
        self.refresh()
        return event_loop.call(database_rows, self)

    def as_df(self) -> pd.DataFrame:
        """Return the record as a table with a row for each learner."""
        import pandas as pd

        return pd.DataFrame(self.as_dicts())

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The rows of `as_dicts` of learners that have been given up."""
        return [row for row in self.as_dicts() if row["state"] == "failed"]
