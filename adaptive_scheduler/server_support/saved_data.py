"""What the jobs of a run have saved: loaded here, and removed to begin anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler._common.user_warning import warn_user
from adaptive_scheduler.learners.dataframes import load_dataframes
from adaptive_scheduler.learners.rescue import add_rescued, rescue_folders
from adaptive_scheduler.learners.storage import load_parallel
from adaptive_scheduler.run_folder.journal import read_beginning
from adaptive_scheduler.server_support.cleaning import move_aside

if TYPE_CHECKING:
    import pandas as pd
    from adaptive import BaseLearner

    from adaptive_scheduler.learners.dataframes import _DATAFRAME_FORMATS
    from adaptive_scheduler.learners.paths import Project, ResolvedFname
    from adaptive_scheduler.run_folder.layout import RunFolder


class SavedData:
    """The data files of a run.

    Parameters
    ----------
    run_folder
        The run folder, in which jobs may have rescued points.
    project
        The folder from which relative names start.
    fnames
        Where the data of each learner lies.
    """

    def __init__(
        self, run_folder: RunFolder, project: Project, fnames: Sequence[ResolvedFname]
    ) -> None:
        self._run_folder = run_folder
        self._project = project
        self._fnames = fnames

    def load(self, learners: Sequence[BaseLearner], *, with_progress_bar: bool) -> None:
        """Load the data into learners, with what jobs have rescued. Warns of the latter."""
        load_parallel(learners, self._fnames, with_progress_bar=with_progress_bar)
        beginning = read_beginning(self._run_folder.journal)
        run_id = "" if beginning is None else beginning.run_id
        folders = rescue_folders(self._run_folder.rescue, run_id)
        if news := add_rescued(learners, self._fnames, folders):
            warn_user("\n".join(news))

    def dataframes(self, format: _DATAFRAME_FORMATS) -> pd.DataFrame:  # noqa: A002  as elsewhere
        """Return the saved dataframes as one."""
        return load_dataframes(self._fnames, format=format)

    def remove(self, move_to: str | Path | None) -> list[Path]:
        """Delete the files, or move them to a folder; return which there were.

        Raises
        ------
        InvalidInputError
            If a file would be overwritten.
        """
        named = {
            path: name
            for fname in self._fnames
            for path, name in zip(fname.paths, fname.names, strict=True)
        }
        target = None if move_to is None else self._project.path(move_to)
        return [named[path] for path in move_aside(list(named), target)]
