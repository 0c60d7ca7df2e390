"""Whether the folders that a job works in are still there under their names."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from adaptive_scheduler._common.revalidate import revalidate
from adaptive_scheduler.errors import AdaptiveSchedulerError

#: Seconds between the looks that together show that a folder is gone.
_PAUSE = 1.0
_LOOKS = 3
#: Folders that are held open at most: descriptors are few, and one folder for all is usual.
_MAX_HELD = 64


class PlaceGoneError(AdaptiveSchedulerError):
    """A folder that this job works in was renamed, moved or deleted."""


class HeldFolder:
    """A folder that is held open, so that it is known whatever becomes of its name.

    Parameters
    ----------
    path
        The folder, absolute.

    Raises
    ------
    OSError
        If there is none, or it can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def is_gone(self) -> bool:
        """Whether another folder, or none, has the name by now.

        A disk in trouble is no sign of that. Nor is an unmounted file system,
        where what is found instead, or the nearest folder above, lies on
        another one than the folder that is held open.
        """
        try:
            held = os.fstat(self.descriptor)
            found = _nearest(self.path)
        except OSError:  # EIO, ESTALE, EACCES and the like
            return False
        is_same = (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)
        return not is_same and found.st_dev == held.st_dev

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self.descriptor)


class Place:
    """The run folder and the data folders of a job. Its methods block.

    Parameters
    ----------
    run_folder
        The run folder, absolute.
    sleep
        Waits for some seconds.
    """

    def __init__(self, run_folder: Path, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.run_folder = HeldFolder(run_folder)
        self._sleep = sleep
        self._data: dict[Path, HeldFolder] = {}
        self._changing = threading.Lock()

    def watch(self, folders: set[Path]) -> None:
        """Watch data folders as well, as far as they exist, and no others any more."""
        with self._changing:
            for path in self._data.keys() - folders:
                self._data.pop(path).close()
            for path in sorted(folders - self._data.keys())[: _MAX_HELD - len(self._data)]:
                with suppress(OSError):  # not there yet, or trouble that saving will tell of
                    self._data[path] = HeldFolder(path)

    def is_watched(self, folder: Path) -> bool:
        """Whether a folder was there once: then it must not be made again."""
        return folder in self._data

    def check(self) -> None:
        """Check that no folder is gone.

        Raises
        ------
        PlaceGoneError
            If one is, at several looks.
        """
        for look in range(_LOOKS):
            gone = self._gone()
            if gone is None:
                return
            if look + 1 < _LOOKS:
                self._sleep(_PAUSE)
        raise PlaceGoneError(f"'{gone}' was moved or deleted while this job ran.")

    def close(self) -> None:
        """Let go of all folders."""
        with self._changing:
            for held in [self.run_folder, *self._data.values()]:
                held.close()
            self._data.clear()

    def _gone(self) -> Path | None:
        with self._changing:
            held = [self.run_folder, *self._data.values()]
            return next((each.path for each in held if each.is_gone()), None)


def _nearest(path: Path) -> os.stat_result:
    """Return the status of a path, or of the nearest folder above it that exists."""
    for folder in reversed(path.parents):
        revalidate(folder)
    while True:
        try:
            return path.stat()
        except (FileNotFoundError, NotADirectoryError):
            if path == path.parent:
                raise
            path = path.parent
