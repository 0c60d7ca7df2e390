"""The data file of one learner: reading it, writing it, moving it aside."""

from __future__ import annotations

import errno
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler._common.atomic import atomic_write
from adaptive_scheduler._common.revalidate import revalidate
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
            raise _file_error(self.name, "read", "It was left as it is", error) from error
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
                raise _file_error(
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
            raise _file_error(self.name, "moved aside", done, error) from error
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


def _file_error(path: Path, what: str, consequence: str, error: OSError) -> DataFileError:
    """Say what could not be done with `path`, what that means, and what to do."""
    words = os.strerror(error.errno) if error.errno else str(error)
    advice = _ADVICE.get(error.errno or 0, "Check that the file system works.")
    return DataFileError(f"{path} can't be {what}: {words}. {consequence}. {advice}")


def has_own_format(learner: BaseLearner) -> bool:
    """Whether the user wrote the ``save`` or ``load`` of `learner`."""
    from adaptive import BalancingLearner, BaseLearner, DataSaver

    kind = type(learner)
    return (
        bool({"save", "load"} & set(vars(learner)))
        or kind.save not in {BaseLearner.save, BalancingLearner.save, DataSaver.save}
        or kind.load not in {BaseLearner.load, BalancingLearner.load, DataSaver.load}
    )


class OwnFormatFile(DataFile):
    """A learner with ``save`` and ``load`` methods of its own, which know the format.

    ``save`` is called in the event loop's thread, as adaptive's periodic
    saving would, with a name in an empty temporary folder. Whatever files it
    leaves there (also several, with any ending) then take their places beside
    each other, one after the other and each as a whole. ``load`` gets the
    true name; it may raise `FileNotFoundError` where nothing was saved yet.

    What is asked of both is that they work with any folder, and that ``load``
    raises when the file is broken. That a file is there and empty, or is cut
    off and starts like gzip, is noticed even if ``load`` keeps quiet.
    """

    def __init__(
        self, learner: BaseLearner, paths: list[Path], name: Path, *, several: bool
    ) -> None:
        super().__init__(learner, paths[0], name)
        self._paths = paths
        self._several = several

    def _read(self) -> bool:
        for folder in {path.parent for path in self._paths}:
            revalidate(folder)
        before = {path for path in self._paths if path.exists()}
        for path in before:
            with open_data(path) as opened:
                content = opened.file.read()
                self.writers = self.writers or opened.writers
            if not contents.decompress(content):
                raise contents.UnreadableContentError("it is empty")
        names = [str(path) for path in self._paths]
        with contents.unchanged_on_error(self.learner):
            try:
                self.learner.load(names if self._several else names[0])
            except FileNotFoundError:
                if before:
                    raise
                return False
            except contents.NOT_THE_CONTENT:
                raise
            except Exception as error:  # the user's own `load`
                raise contents.UnreadableContentError(contents.words(error)) from error
        return True

    def _content(self) -> dict[Path, bytes]:
        saving = f"{type(self.learner).__name__}.save"
        try:
            with tempfile.TemporaryDirectory() as folder:
                content = self._save_into(Path(folder))
        except Exception as error:  # the user's own `save`
            raise DataFileError(
                f"{self.name} can't be saved, since {saving} raised {contents.words(error)}. "
                "What was saved before is still there."
            ) from error
        if not content:
            raise DataFileError(
                f"{self.name} can't be saved: {saving} wrote nothing. What was saved before is "
                "still there. Let it raise what went wrong, and use the name that it gets."
            )
        return content

    def _save_into(self, folder: Path) -> dict[Path, bytes]:
        places = [folder / str(i) / path.name for i, path in enumerate(self._paths)]
        for place in places:
            place.parent.mkdir()
        names = [str(place) for place in places]
        self.learner.save(names if self._several else names[0])
        return {
            path.parent / file.relative_to(place.parent): file.read_bytes()
            for path, place in zip(self._paths, places, strict=True)
            for file in place.parent.rglob("*")
            if file.is_file()
        }

    def _write(self, path: Path, content: bytes, *, make_folders: bool) -> int:
        with atomic_write(path, "wb", make_folders=make_folders) as file:
            return int(file.write(content))

    def _state(self) -> None:
        return None

    def _set_aside(self, reason: str) -> SetAside:
        if self._several:
            raise DataFileError(
                f"One of {self.name} ... can't be read ({reason}), and only "
                f"{type(self.learner).__name__}.load knows which. Move it away, and start again."
            )
        return super()._set_aside(reason)
