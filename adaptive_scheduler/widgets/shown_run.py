"""A run that is shown, and its data where they are in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing import Self

    import pandas as pd
    from adaptive import BaseLearner

    from adaptive_scheduler.server_support.run_manager import RunManager
    from adaptive_scheduler.server_support.view import RunView


class RunData(Protocol):
    """The learners of a run in this process, and what jobs have saved of them."""

    @property
    def learners(self) -> Sequence[BaseLearner]:
        """The learners."""

    def load_learners(self) -> None:
        """Load what the jobs have saved into `learners`."""

    def load_dataframes(self) -> pd.DataFrame:
        """Return what the jobs have saved as dataframes, as one."""

    def cleanup(self) -> None:
        """Put logs and scripts away."""


@dataclass(frozen=True)
class ShownRun:
    """A run as dashboards get it.

    Attributes
    ----------
    view
        What is to be seen of it.
    data
        Its learners and their data; None if only its folder is looked at, of which nothing
        is unpickled.
    """

    view: RunView
    data: RunData | None

    @classmethod
    def of(cls, run: RunManager | str | Path) -> Self:
        """Return the run of a manager of this process, or the one in a folder.

        Raises
        ------
        RunFolderError
            If there is no run in the folder.
        """
        if isinstance(run, str | Path):
            from adaptive_scheduler.server_support.remote import open_run

            return cls(open_run(run), None)
        return cls(run.view, run)
