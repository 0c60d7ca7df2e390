"""The pack: one file with all learners of a run, from which jobs take theirs.

Layout, with integers in little endian:

===========  ====================================================================
header       52 bytes: magic and version (8 bytes), size of the file (u64), number
             of blobs (u64), length of the environment (u64), length of the fnames
             (u64), checksums of these two (u32 each), of the header so far (u32)
table        for each blob 20 bytes: offset (u64), length (u64), checksum (u32)
blobs        one after the other, each a pickle of (learner, fname, initializer)
environment  JSON, an object; it has the source lines of the users' functions, once
             for all learners
fnames       JSON, a list with one item for each blob
===========  ====================================================================

Checksums are CRC-32. A pack never changes: another file takes its place. Only its owner
can read and write it, whatever the umask. Learners travel without their points where
these lie safely in data files.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
import sys
import zlib
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler._common.atomic import atomic_write
from adaptive_scheduler._common.by_value import SourceFiles, show_lines
from adaptive_scheduler._common.trusted import open_trusted
from adaptive_scheduler.errors import InvalidInputError, RunFolderError, UnpicklableError
from adaptive_scheduler.learners.paths import AnyFname, Project, fname_to_paths, fname_to_str
from adaptive_scheduler.learners.pickling import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from adaptive import BaseLearner

__all__ = ["Pack", "PackedLearner", "check_picklable", "replace_learner", "write_pack"]

_MAGIC = b"ASPACK\x00\x02"
_HEADER = struct.Struct("<8s4Q2I")
_CHECKSUM = struct.Struct("<I")
_ENTRY = struct.Struct("<QQI")
_TABLE_START = _HEADER.size + _CHECKSUM.size
_WAY_OUT = "Start the run again, in the same run folder: that writes it anew and loses no data."

#: Where a Python keeps its own modules; those of another Python must not get in.
_OF_SOME_PYTHON = re.compile(r"(site-packages|dist-packages|lib-dynload|python3\.?\d*(\.zip)?)$")


def write_blobs(
    path: str | Path,
    environment: Callable[[], dict[str, Any]],
    fnames: list[Any],
    blobs: Iterable[bytes],
) -> int:
    """Write a pack with one blob for each of `fnames`, and return its size.

    The blobs are taken one by one, so that memory stays flat. The environment
    is asked for after the last one.
    """
    table = bytearray()
    with atomic_write(path, "wb", permissions=0o600) as file:
        file.seek(_TABLE_START + _ENTRY.size * len(fnames))
        for blob in blobs:
            table += _ENTRY.pack(file.tell(), len(blob), zlib.crc32(blob))
            file.write(blob)
        sections = [json.dumps(section).encode() for section in (environment(), fnames)]
        file.writelines(sections)
        size: int = file.tell()
        header = _HEADER.pack(
            _MAGIC, size, len(fnames), *map(len, sections), *map(zlib.crc32, sections)
        )
        file.seek(0)
        file.write(header + _CHECKSUM.pack(zlib.crc32(header)) + table)
    return size


@contextmanager
def open_pack(path: Path, *, trust: bool = False) -> Iterator[PackFile]:
    """Open a pack as it is now; it stays so until the block ends.

    Raises
    ------
    RunFolderError
        There is no such file, or it is no pack, or not whole.
    UntrustedFileError
        Another user may have written it, and `trust` is not set.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open_trusted(path, trust=trust))
        except FileNotFoundError as error:
            raise RunFolderError(f"There are no learners: {path} does not exist.") from error
        except OSError as error:
            raise RunFolderError(f"{path} can't be opened: {error.strerror}.") from error
        yield PackFile(path, file.fileno())


class PackFile:
    """An open pack: blobs, each readable by itself, an environment and fnames."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        header = self._read(0, _HEADER.size)
        (checksum,) = _CHECKSUM.unpack(self._read(_HEADER.size, _CHECKSUM.size))
        fields = _HEADER.unpack(header)
        magic, size, n_blobs, *self._lengths, environment_checksum, self._crc_fnames = fields
        self.n_blobs: int = n_blobs
        #: What tells one environment from another.
        self.environment_checksum: int = environment_checksum
        if magic != _MAGIC:
            kind = "of another version" if magic[:7] == _MAGIC[:7] else "no pack of learners"
            raise RunFolderError(f"{path} is {kind}. {_WAY_OUT}")
        if checksum != zlib.crc32(header) or size != os.fstat(descriptor).st_size:
            raise self._damaged()
        self._sections_start = size - sum(self._lengths)

    def environment(self) -> dict[str, Any]:
        """Return the environment."""
        environment: dict[str, Any] = json.loads(
            self._checked(self._sections_start, self._lengths[0], self.environment_checksum)
        )
        return environment

    def fnames(self) -> list[str | list[str]]:
        """Return the fnames."""
        start = self._sections_start + self._lengths[0]
        fnames: list[str | list[str]] = json.loads(
            self._checked(start, self._lengths[1], self._crc_fnames)
        )
        return fnames

    def blob(self, index: int) -> bytes:
        """Return one blob.

        Raises
        ------
        IndexError
            There is no such blob.
        """
        if not 0 <= index < self.n_blobs:
            raise IndexError(f"{self._path} has learners 0 to {self.n_blobs - 1}, not {index}.")
        entry = self._read(_TABLE_START + _ENTRY.size * index, _ENTRY.size)
        return self._checked(*_ENTRY.unpack(entry))

    def _checked(self, offset: int, length: int, checksum: int) -> bytes:
        content = self._read(offset, length)
        if zlib.crc32(content) != checksum:
            raise self._damaged()
        return content

    def _read(self, offset: int, length: int) -> bytes:
        if offset + length > os.fstat(self._descriptor).st_size:
            raise self._damaged()
        content = bytearray()
        while len(content) < length:
            part = self._read_once(offset + len(content), length - len(content))
            if not part:
                raise self._damaged()
            content += part
        return bytes(content)

    def _read_once(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise RunFolderError(f"{self._path} can't be read: {error.strerror}.") from error

    def _damaged(self) -> RunFolderError:
        return RunFolderError(f"{self._path} is damaged or not whole. {_WAY_OUT}")


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
            return file.fnames()

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
            return file.environment()

    def extend_sys_path(self, project: Project | None = None) -> None:
        """Let this process find the modules that the user's functions come from.

        What it lacks is added at the end of ``sys.path``, except for folders
        in which another Python keeps its packages.

        Parameters
        ----------
        project
            Where the modules in the project are, if that was moved or copied.
        """
        entries = self.sys_path
        if project is not None:
            entries = [str(project.path(entry)) for entry in entries]
        for entry in entries:
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
) -> int:
    """Write all learners of a run into one file, whole or not at all, and return its size.

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
    first_calls = initializer_of_each(learners, fnames, initializers)
    project = project or Project.here()
    safe = _safe_to_empty(learners, project.resolve_all(fnames))
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

    return write_blobs(path, environment, [fname_to_str(fname) for fname in fnames], blobs())


def initializer_of_each(
    learners: Sequence[BaseLearner],
    fnames: Sequence[AnyFname],
    initializers: Sequence[Callable[[], None]] | None,
) -> list[Callable[[], None] | None]:
    """Return what each worker runs first, for each learner.

    Raises
    ------
    InvalidInputError
        There are not as many fnames, or initializers, as learners.
    """
    each: list[Callable[[], None] | None] = [None] * len(learners)
    if initializers is not None:
        each = list(initializers)
    if not len(learners) == len(fnames) == len(each):
        raise InvalidInputError(
            f"There are {len(learners)} learners, {len(fnames)} fnames and {len(each)} "
            "initializers: give one for each learner."
        )
    return each


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
    (safe,) = _safe_to_empty([learner], [project.resolve(old.fname)])
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


def empty_copy(learner: BaseLearner) -> BaseLearner:
    """Return a learner like `learner` without points, or `learner` if there is no way.

    ``new()`` of a class of the user's may be inherited, and then makes a
    learner of another class.
    """
    if not learner.npoints and not learner.pending_points:
        return learner
    try:
        copy = learner.new()
    except Exception:  # noqa: BLE001  without a `new` of its own, a learner travels as it is
        return learner
    return copy if _kinds(copy) == _kinds(learner) else learner


def _safe_to_empty(learners: Sequence[BaseLearner], fnames: Sequence[AnyFname]) -> list[bool]:
    """Say for each learner whether its points are on disk, as far as the names of files tell."""
    paths = [
        fname_to_paths(fname) if learner.npoints else []
        for learner, fname in zip(learners, fnames, strict=True)
    ]
    existing = _existing(path for each in paths for path in each)
    return [all(path in existing for path in each) for each in paths]


def _existing(paths: Iterable[Path]) -> set[Path]:
    """Find out which files exist: folder by folder, since asking for each takes longer."""
    by_folder = defaultdict(list)
    for path in paths:
        by_folder[path.parent].append(path)
    existing: set[Path] = set()
    for folder, members in by_folder.items():
        try:
            with os.scandir(folder) as entries:
                names = {entry.name for entry in entries if entry.is_file()}
        except FileNotFoundError:
            continue
        except OSError:  # a folder that can't be listed may have files that can be read
            existing.update(path for path in members if path.is_file())
        else:
            existing.update(path for path in members if path.name in names)
    return existing


def _kinds(learner: BaseLearner) -> list[type]:
    """List the classes of `learner` and of the learners in it."""
    inner = [getattr(learner, "learner", None), *getattr(learner, "learners", ())]
    return [type(learner), *(kind for each in inner if each is not None for kind in _kinds(each))]
