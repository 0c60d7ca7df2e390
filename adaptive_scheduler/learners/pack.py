"""The pack: one file with all learners of a run, from which jobs take theirs.

What is in the file, byte by byte, is told in `adaptive_scheduler.learners.pack_file`.
A blob is a pickle of (learner, fname, initializer). The source lines of the
users' functions are in the environment, once for all learners.
"""

from __future__ import annotations

import pickle
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler._common.by_value import SourceFiles, show_lines
from adaptive_scheduler.errors import InvalidInputError, UnpicklableError
from adaptive_scheduler.learners.empty_copies import empty_copy, safe_to_empty
from adaptive_scheduler.learners.pack_file import PackFile, open_pack, write_blobs
from adaptive_scheduler.learners.paths import AnyFname, Project, fname_to_str
from adaptive_scheduler.learners.pickling import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from adaptive import BaseLearner

__all__ = ["Pack", "PackInfo", "PackedLearner", "check_picklable", "replace_learner", "write_pack"]

#: Where a Python keeps its own modules; those of another Python must not get in.
_OF_SOME_PYTHON = re.compile(r"(site-packages|dist-packages|lib-dynload|python3\.?\d*(\.zip)?)$")


@dataclass(frozen=True)
class PackInfo:
    """What `write_pack` wrote.

    Attributes
    ----------
    n_learners
        How many learners.
    n_bytes
        The size of the file.
    mean_learner_size
        How many bytes of it a learner takes, on average.
    """

    n_learners: int
    n_bytes: int
    mean_learner_size: float


@dataclass(frozen=True)
class PackedLearner:
    """A learner as a job finds it, with its fname and what each worker runs first."""

    learner: BaseLearner
    fname: str | list[str]
    initializer: Callable[[], None] | None


class Pack:
    """A pack on disk.

    Whenever something is read, the file is opened anew: a pack that another
    one took the place of is read as it is now.

    Parameters
    ----------
    path
        The file that `write_pack` wrote.
    trust
        Read it even if another user may have written it: that runs their code.
    file
        The same file as `open_pack` has opened it, to read all from that.

    Raises
    ------
    RunFolderError
        There is no such file, or it is no pack, or not whole.
    UntrustedFileError
        Another user may have written it. Reading raises this, too.
    """

    def __init__(
        self, path: str | Path, *, trust: bool = False, file: PackFile | None = None
    ) -> None:
        self.path = Path(path)
        self._trust = trust
        self._file = file
        #: Tells the environment whose source lines are known to this process.
        self._shown: int | None = None
        with self._opened() as opened:
            self._n_learners = opened.n_blobs

    @contextmanager
    def _opened(self) -> Iterator[PackFile]:
        if self._file is not None:
            yield self._file
            return
        with open_pack(self.path, trust=self._trust) as file:
            yield file

    def __len__(self) -> int:
        return self._n_learners

    @property
    def fnames(self) -> list[str | list[str]]:
        """The fnames of all learners, read without unpickling any."""
        with self._opened() as file:
            fnames: list[str | list[str]] = file.fnames()
        return fnames

    @property
    def sys_path(self) -> list[str]:
        """Where the process that wrote the pack found its modules."""
        return list(self._environment["sys_path"])

    @property
    def folder(self) -> Path:
        """The folder that relative fnames start from."""
        return Path(self._environment["folder"])

    @property
    def _environment(self) -> dict[str, Any]:
        with self._opened() as file:
            environment: dict[str, Any] = file.environment()
        return environment

    def extend_sys_path(self) -> None:
        """Let this process find the modules that the user's functions come from.

        What it lacks is added at the end of ``sys.path``, except for folders
        in which another Python keeps its packages.
        """
        for entry in self.sys_path:
            if entry not in sys.path and not _OF_SOME_PYTHON.search(entry):
                sys.path.append(entry)

    def read(self, index: int) -> PackedLearner:
        """Unpickle one learner, reading no other.

        Raises
        ------
        IndexError
            There is no such learner.
        RunFolderError
            The pack is damaged, or gone.
        UnpicklableError
            The learner refers to something that can't be imported here.
        """
        with self._opened() as file:
            blob = file.blob(index)
            if self._shown != file.environment_checksum:
                show_lines(file.environment()["source_lines"])
                self._shown = file.environment_checksum
        try:
            return PackedLearner(*pickle.loads(blob))
        except MemoryError:
            raise
        except Exception as error:  # unpickling runs the user's code
            raise UnpicklableError(
                f"Learner {index} of {self.path} can't be loaded: {type(error).__name__}: {error}. "
                f"What it refers to must be importable for {sys.executable}: install it there, or "
                "add its folder to PYTHONPATH."
            ) from error


def write_pack(
    path: str | Path,
    learners: Sequence[BaseLearner],
    fnames: Sequence[AnyFname],
    *,
    initializers: Sequence[Callable[[], None]] | None = None,
    sys_path: Sequence[str] | None = None,
    project: Project | None = None,
) -> PackInfo:
    """Write all learners of a run into one file, whole or not at all.

    Points are left out where they lie in data files already. A learner that
    has points and not all of its data files takes them along.

    Parameters
    ----------
    path
        The file to write, or to replace.
    learners
        The learners.
    fnames
        Their data files.
    initializers
        For each learner, what each worker runs first.
    sys_path
        Where jobs find modules; ``sys.path`` as it is now if not given.
    project
        From where relative names start; the working directory if not given.

    Raises
    ------
    InvalidInputError
        There are not as many fnames, or initializers, as learners.
    UnpicklableError
        A learner can't be pickled.
    OSError
        The file can't be written.
    """
    first_calls = [None] * len(learners) if initializers is None else list(initializers)
    if not len(learners) == len(fnames) == len(first_calls):
        raise InvalidInputError(
            f"There are {len(learners)} learners, {len(fnames)} fnames and {len(first_calls)} "
            "initializers: give one for each learner."
        )
    project = project or Project.here()
    safe = safe_to_empty(learners, project.resolve_all(fnames))
    files = SourceFiles()

    def blobs() -> Iterator[bytes]:
        for i, learner in enumerate(learners):
            packed = empty_copy(learner) if safe[i] else learner
            yield _blob(packed, fnames[i], first_calls[i], i, files)

    entries = sys.path if sys_path is None else sys_path
    sys_path = [str(project.folder / entry) for entry in entries]

    def environment() -> dict[str, Any]:
        folder, lines = str(project.folder), files.lines()
        return {"sys_path": sys_path, "folder": folder, "source_lines": lines}

    n_bytes = write_blobs(path, environment, [fname_to_str(fname) for fname in fnames], blobs())
    return PackInfo(len(learners), n_bytes, n_bytes / max(1, len(learners)))


def replace_learner(
    path: str | Path, index: int, learner: BaseLearner, *, project: Project | None = None
) -> None:
    """Put `learner` in the place of learner `index`, with the same fname and initializer.

    Parameters
    ----------
    path
        The pack.
    index
        Which learner.
    learner
        The new one.
    project
        From where relative names start; where the pack was written if not given.

    Raises
    ------
    IndexError
        There is no such learner.
    RunFolderError
        There is no such pack, or it is damaged.
    UnpicklableError
        The new learner can't be pickled, or the old one can't be loaded.
    OSError
        The file can't be written.
    """
    pack = Pack(path)
    old = pack.read(index)
    project = project or Project.at(pack.folder)
    (safe,) = safe_to_empty([learner], [project.resolve(old.fname)])
    files = SourceFiles()
    new = _blob(empty_copy(learner) if safe else learner, old.fname, old.initializer, index, files)
    with open_pack(Path(path)) as file:
        environment = file.environment()
        environment["source_lines"] |= files.lines()
        blobs = (new if i == index else file.blob(i) for i in range(file.n_blobs))
        write_blobs(path, lambda: environment, file.fnames(), blobs)


def check_picklable(
    learner: BaseLearner,
    fname: AnyFname,
    *,
    initializer: Callable[[], None] | None = None,
    index: int = 0,
) -> int:
    """Check that `learner` can travel to a job, and return how many bytes it takes.

    Raises
    ------
    UnpicklableError
        It says which attribute or variable can't be pickled.
    """
    return len(_blob(empty_copy(learner), fname, initializer, index, SourceFiles()))


def _blob(
    learner: BaseLearner,
    fname: AnyFname,
    initializer: Callable[[], None] | None,
    index: int,
    files: SourceFiles,
) -> bytes:
    name = fname_to_str(fname)
    parts = {"learner": learner, "fname": name, "initializer": initializer}
    return dumps(parts, f"Learner {index} ({name!r})", files)
