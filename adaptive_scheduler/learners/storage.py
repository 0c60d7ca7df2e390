"""The data files of learners.

Two things hold whatever happens here. What is on disk is replaced by newer
data as a whole or not at all, and a file that could not be read is never
overwritten: if it is broken it is moved aside, if it may be good it stays and
nothing is saved in its place.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from adaptive_scheduler._common.formatting import first_of
from adaptive_scheduler._common.progress import tracked
from adaptive_scheduler._common.user_warning import warn_user
from adaptive_scheduler.errors import DataFileError, InvalidInputError
from adaptive_scheduler.learners.data_file import (
    Changed,
    DataFile,
    OwnFormatFile,
    SetAside,
    has_own_format,
)
from adaptive_scheduler.learners.merging import add_superseded
from adaptive_scheduler.learners.paths import AnyFname, is_several, resolve_here

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from adaptive import BaseLearner

__all__ = ["DataFiles", "SetAside", "Snapshot", "load_parallel", "save_parallel"]

#: Threads that read or write files. On a local disk one would do; a file
#: system on the network answers late, but answers many at once.
_MAX_WORKERS = 8

Result = TypeVar("Result")

#: Names that a message lists; it counts the others.
_NAMES_IN_A_MESSAGE = 5

#: How many files a warning names; there may be thousands.
N_NAMED = 3


@dataclass(frozen=True)
class Snapshot:
    """What a learner knew at one moment, as far as it was not saved; see `DataFiles.write`."""

    changed: tuple[Changed, ...]


class DataFiles:
    """The data files of one learner.

    The job loads once, then takes a snapshot in the event loop's thread now
    and then, and has each written in another thread. Snapshots may be
    written in any order: an older one never replaces a newer one.

    Parameters
    ----------
    learner
        Any learner of adaptive's, or of a class that is derived from them.
        Where such a class has its own ``save`` and ``load``, these are used:
        see `adaptive_scheduler.learners.data_file.OwnFormatFile`.
    fname
        Where its data is saved: one file, or, for a `BalancingLearner`, a
        list with one for each of its learners. A relative name starts from
        the working directory as it is now, and later changes don't matter.

    Raises
    ------
    InvalidInputError
        `fname` does not fit `learner`.
    """

    def __init__(self, learner: BaseLearner, fname: AnyFname) -> None:
        self._files = _files_of(learner, fname)
        self._lock = threading.Lock()
        self._n_snapshots = 0
        self._refusal: str | None = None
        #: Files that the latest `load` moved aside, also if it raised in the end.
        self.set_aside: list[SetAside] = []

    @property
    def other_writers(self) -> dict[str, str]:
        """Who else may have written a file that was loaded, by its name."""
        return {str(file.name): file.writers for file in self._files if file.writers}

    def load(self) -> list[SetAside]:
        """Fill the learner with what its files hold.

        A missing file holds nothing. A file that can't be read (torn, empty,
        of another kind, or of another kind of learner) is renamed to
        ``<fname>.unreadable-<date>-<time>``; its learner stays as it was.

        Returns
        -------
        list of SetAside
            The files that were renamed.

        Raises
        ------
        DataFileError
            A file may be good but could not be read here and now: the file
            system refused, the memory did not suffice, or the class of a
            value can't be imported. Nothing was renamed because of that, and
            nothing can be saved until a later `load` succeeds.
        """
        self.set_aside = []
        self._refusal = "its data file was not read to the end"
        for file in self._files:
            try:
                aside = file.load()
            except DataFileError as error:
                self._refusal = str(error)
                raise
            if aside is not None:
                self.set_aside.append(aside)
        self._refusal = None
        return self.set_aside

    def snapshot(self) -> Snapshot:
        """Pickle what has changed since it was last written with success.

        Call it in the thread that changes the learner. It does not touch the
        disk, unless the learner has its own ``save``.

        Raises
        ------
        DataFileError
            The data can't be pickled, or `load` has failed.
        """
        self._check_that_it_was_read()
        self._n_snapshots += 1
        changed = (file.changed(self._n_snapshots) for file in self._files)
        return Snapshot(tuple(change for change in changed if change is not None))

    def write(
        self, snapshot: Snapshot, *, may_make: Callable[[Path], bool] = lambda _: True
    ) -> int:
        """Compress and write what `snapshot` holds; this may take long.

        Parameters
        ----------
        snapshot
            What to write.
        may_make
            Says of a folder whether it may be made if it is missing.

        Returns
        -------
        int
            The number of bytes that were written.

        Raises
        ------
        DataFileError
            A file can't be written. It still holds what it held before, and
            is part of the next snapshot. Other files of the same snapshot
            were written as far as possible.
        """
        n_bytes = 0
        errors = []
        with self._lock:
            self._check_that_it_was_read()
            for changed in snapshot.changed:
                try:
                    n_bytes += changed.file.write(
                        changed, make_folders=may_make(changed.file.path.parent)
                    )
                except DataFileError as error:
                    errors.append(error)
        _raise_together(errors)
        return n_bytes

    def save(self) -> int:
        """Write what has changed, and return the number of bytes; see `write`."""
        return self.write(self.snapshot())

    def _check_that_it_was_read(self) -> None:
        if self._refusal is not None:
            raise DataFileError(f"Nothing is saved in the place of unread data: {self._refusal}")


def load_parallel(
    learners: Sequence[BaseLearner],
    fnames: Sequence[AnyFname],
    *,
    with_progress_bar: bool = True,
    max_workers: int | None = None,
) -> list[SetAside]:
    """Load the data of many learners.

    Of files that others may have written one `UserWarning` says whose they are.

    Parameters
    ----------
    learners
        The learners to fill.
    fnames
        Their data files, in the same order.
    with_progress_bar
        Show how many are loaded.
    max_workers
        Number of threads; 8 unless told otherwise.

    Returns
    -------
    list of SetAside
        Files that could not be read. They are renamed, so that saving does
        not overwrite them, and a `UserWarning` names them.

    Raises
    ------
    DataFileError
        A file may be good but could not be read here and now. All others
        were loaded.
    """
    writers: dict[str, str] = {}
    try:
        return load_data(
            learners,
            fnames,
            writers,
            with_progress_bar=with_progress_bar,
            max_workers=max_workers,
        )
    finally:
        warn_of_writers(writers)


def load_data(
    learners: Sequence[BaseLearner],
    fnames: Sequence[AnyFname],
    writers: dict[str, str],
    *,
    with_progress_bar: bool,
    max_workers: int | None = None,
) -> list[SetAside]:
    """Do as `load_parallel`, and add to `writers` who else may have written a file, by its name."""

    def load(files: DataFiles) -> list[SetAside]:
        try:
            return files.load()
        finally:
            writers.update(files.other_writers)

    results = _for_all(
        load,
        learners,
        fnames,
        description="Loading",
        max_workers=max_workers,
        with_progress_bar=with_progress_bar,
    )
    set_aside = [aside for result in results for aside in result]
    news = [str(aside) for aside in set_aside] + add_superseded(learners, fnames)
    if news:
        warn_user(_shortened(news))
    return set_aside


def save_parallel(
    learners: Sequence[BaseLearner],
    fnames: Sequence[AnyFname],
    *,
    with_progress_bar: bool = True,
) -> None:
    """Save the data of many learners.

    Parameters
    ----------
    learners
        The learners to save.
    fnames
        Their data files, in the same order. What they hold is replaced.
    with_progress_bar
        Show how many are saved.

    Raises
    ------
    DataFileError
        A file can't be written. All others were saved.
    """
    _for_all(
        DataFiles.save,
        learners,
        fnames,
        description="Saving",
        with_progress_bar=with_progress_bar,
    )


def _files_of(learner: BaseLearner, fname: AnyFname) -> list[DataFile]:
    from adaptive import BalancingLearner

    resolved = resolve_here(fname)
    paths, names = resolved.paths, resolved.names
    several = is_several(fname)
    if len(set(paths)) < len(paths):
        raise InvalidInputError(
            f"Each learner needs a file of its own, but {resolved.given} names one twice."
        )
    if several != isinstance(learner, BalancingLearner):
        raise InvalidInputError(
            f"A BalancingLearner needs a list of fnames and any other learner a single one: "
            f"{resolved.given!r} does not fit a {type(learner).__name__}."
        )
    if has_own_format(learner):
        return [OwnFormatFile(learner, list(paths), names[0], several=several)]
    children = learner.learners if several else [learner]
    if len(children) != len(paths):
        raise InvalidInputError(
            f"A BalancingLearner needs an fname for each of its {len(children)} learners, "
            f"but there are {len(paths)}."
        )
    if any(several and isinstance(child, BalancingLearner) for child in children):
        raise InvalidInputError("A BalancingLearner of BalancingLearners can't be saved.")
    return [
        OwnFormatFile(child, [path], name, several=False)
        if has_own_format(child)
        else DataFile(child, path, name)
        for child, path, name in zip(children, paths, names, strict=True)
    ]


def _for_all(
    action: Callable[[DataFiles], Result],
    learners: Sequence[BaseLearner],
    fnames: Sequence[AnyFname],
    *,
    description: str,
    max_workers: int | None = None,
    with_progress_bar: bool,
) -> list[Result]:
    """Do `action` with the data files of each learner; one that fails stops no other."""
    if len(learners) != len(fnames):
        raise InvalidInputError(f"There are {len(learners)} learners but {len(fnames)} fnames.")
    files = [DataFiles(learner, fname) for learner, fname in zip(learners, fnames, strict=True)]
    results = []
    errors = []
    pool = ThreadPoolExecutor(max_workers or _MAX_WORKERS)
    try:
        futures = [pool.submit(action, each) for each in files]
        for future in tracked(futures, description, shown=with_progress_bar):
            try:
                results.append(future.result())
            except DataFileError as error:
                errors.append(error)
    finally:
        pool.shutdown(cancel_futures=True)
    _raise_together(errors)
    return results


def _raise_together(errors: list[DataFileError]) -> None:
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise DataFileError(_shortened([str(error) for error in errors])) from errors[0]


def _shortened(lines: list[str]) -> str:
    shown = lines[:_NAMES_IN_A_MESSAGE]
    rest = len(lines) - len(shown)
    return "\n".join([*shown, f"... and {rest} more"] if rest else shown)


def describe_writers(writers: Mapping[str, str]) -> str:
    """Say which files were loaded that others may have written.

    Parameters
    ----------
    writers
        Who may have written each file, by its name.
    """
    files = first_of([f"{path} ({who})" for path, who in writers.items()], N_NAMED)
    return (
        f"Data was loaded that others may have written, and loading runs what is in it: {files}. "
        "Load only data of people you trust."
    )


def warn_of_writers(writers: Mapping[str, str]) -> None:
    """Give the user one warning that names those who may have written what was loaded, if any."""
    if writers:
        warn_user(describe_writers(writers))
