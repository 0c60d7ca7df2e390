"""The data file of one learner: reading it, writing it, moving it aside."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler._common.atomic import atomic_write
from adaptive_scheduler._common.trusted import open_data
from adaptive_scheduler.errors import DataFileError, UntrustedFileError
from adaptive_scheduler.learners import contents

if TYPE_CHECKING:
    from adaptive import BaseLearner

#: What the user can do about an error of the file system.
_ADVICE = {
    errno.EACCES: "Check the permissions of the file and its folder.",
    errno.EDQUOT: "Remove some of your files, or ask for a larger quota.",
    errno.EFBIG: "Raise the limit on the size of a file (see `ulimit -f`).",
    errno.EIO: "The disk has a problem: tell the administrators.",
    errno.EISDIR: "Remove the folder of this name, or choose another fname.",
    errno.ENAMETOOLONG: "Choose a shorter fname.",
    errno.ENOSPC: "Make room on this file system.",
    errno.ENOTDIR: "Choose an fname whose folders are folders.",
    errno.EPERM: "Check the permissions of the file and its folder.",
    errno.EROFS: "Choose an fname on a file system that can be written.",
    errno.ESTALE: "The network file system lost the file: try again in a moment.",
}

#: The longest file name, in bytes, on nearly all file systems.
_NAME_MAX = 255


@dataclass(frozen=True)
class SetAside:
    """A data file that could not be read and was moved, not deleted.

    Attributes
    ----------
    fname
        What it was called.
    kept_as
        What it is called now.
    reason
        Why it could not be read.
    """

    fname: str
    kept_as: str
    reason: str

    def __str__(self) -> str:
        return f"{self.fname} can't be read ({self.reason}) and is kept as {self.kept_as}"


@dataclass(frozen=True)
class Changed:
    """The content that one `DataFile` shall get, and the learner's state that it stands for."""

    file: DataFile
    number: int
    state: tuple[int, ...] | None
    content: dict[Path, bytes]


class DataFile:
    """A learner and the file in adaptive's format that holds its data.

    Parameters
    ----------
    learner
        The learner.
    path
        Where the file lies, absolute.
    name
        What messages call it: the user's own name for it.
    """

    def __init__(self, learner: BaseLearner, path: Path, name: Path) -> None:
        self.learner = learner
        self.path = path
        self.name = name
        #: Who else may have written the file that was loaded last; empty if nobody.
        self.writers = ""
        self._on_disk: tuple[int, ...] | None = None  # the state that the file is known to hold
        self._last_number = 0

    def load(self) -> SetAside | None:
        """Read the file, if there is one; see `DataFiles.load`."""
        self._on_disk = None
        self.writers = ""
        was_empty = not self.learner.npoints
        try:
            found = self._read()
        except contents.UnreadableContentError as error:
            return self._set_aside(str(error))
        except (ImportError, AttributeError) as error:
            raise DataFileError(
                f"{self.name} holds objects that can't be loaded here: {error}. Make their module "
                "importable in this environment (install it, or add its folder to PYTHONPATH). "
                "The file was left as it is."
            ) from error
        except (MemoryError, RecursionError) as error:
            raise DataFileError(
                f"{self.name} can't be loaded: {contents.words(error)}. Give the process more "
                "memory (or a higher sys.setrecursionlimit). The file was left as it is."
            ) from error
        except OSError as error:
            raise file_error(self.name, "read", "It was left as it is", error) from error
        except UntrustedFileError as error:
            raise DataFileError(f"{error} The file was left as it is.") from error
        if found and was_empty:
            self._on_disk = self._state()
        return None

    def changed(self, number: int) -> Changed | None:
        """Pickle what the file should hold, or None if it holds that already.

        `number` orders the snapshots: an older one never replaces a newer one.
        """
        state = self._state()
        if state is not None and state == self._on_disk:
            return None
        return Changed(self, number, state, self._content())

    def write(self, changed: Changed, *, make_folders: bool = True) -> int:
        """Write what `changed` holds, and return the number of bytes."""
        if changed.number < self._last_number:
            return 0
        n_bytes = 0
        for path, content in changed.content.items():
            try:
                n_bytes += self._write(path, content, make_folders=make_folders)
            except OSError as error:
                raise file_error(
                    self._named(path), "saved", "What was saved before is still there", error
                ) from error
        self._last_number = changed.number
        self._on_disk = changed.state
        return n_bytes

    def _read(self) -> bool:
        try:
            with open_data(self.path) as opened:
                self.writers = opened.writers
                content = opened.file.read()
        except FileNotFoundError:
            return False
        contents.fill(self.learner, contents.decode(content))
        return True

    def _content(self) -> dict[Path, bytes]:
        try:
            return {self.path: contents.encode(self.learner)}
        except Exception as error:  # pickling runs the user's code
            raise DataFileError(
                f"The data for {self.name} can't be pickled: {type(error).__name__}: {error}. "
                "Let the function return values that can."
            ) from error

    def _write(self, path: Path, content: bytes, *, make_folders: bool) -> int:
        with atomic_write(path, "wb", make_folders=make_folders) as file:
            contents.compress(content, file)
            return int(file.tell())

    def _state(self) -> tuple[int, ...] | None:
        """Count what the learner knows; None if that does not show every change."""
        return contents.count(self.learner)

    def _set_aside(self, reason: str) -> SetAside:
        try:
            kept_as = _move_aside(self.path)
        except OSError as error:
            done = f"It is unreadable ({reason}) and stays where it is"
            raise file_error(self.name, "moved aside", done, error) from error
        return SetAside(str(self.name), str(self._named(kept_as)), reason)

    def _named(self, path: Path) -> Path:
        """Return what the user calls a file that lies beside the data file, or is it."""
        return self.name.parent / path.relative_to(self.path.parent)


def _move_aside(path: Path) -> Path:
    """Rename `path` to a name that nothing has, and return that."""
    attempt = 0
    while True:
        attempt += 1
        again = f"-{attempt}" if attempt > 1 else ""
        suffix = f".unreadable-{time.strftime('%Y%m%d-%H%M%S')}{again}"
        name = os.fsdecode(os.fsencode(path.name)[: _NAME_MAX - len(suffix)]) + suffix
        reserved = path.with_name(name)
        try:
            reserved.touch(exist_ok=False)
        except FileExistsError:
            continue
        try:
            return path.replace(reserved)
        except OSError:
            reserved.unlink()
            raise


def file_error(path: Path, what: str, consequence: str, error: OSError) -> DataFileError:
    """Say what could not be done with `path`, what that means, and what to do."""
    words = os.strerror(error.errno) if error.errno else str(error)
    advice = _ADVICE.get(error.errno or 0, "Check that the file system works.")
    return DataFileError(f"{path} can't be {what}: {words}. {consequence}. {advice}")
