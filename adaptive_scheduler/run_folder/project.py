"""Whether a run folder lies where it was written, was moved there, or is a copy.

A folder is what lies in it: a path says nothing about whose run it is, and the
id of a run is copied with its folder. What tells is the place where the run
was when its spec was written:

=============================================  ===========
at that place is now                            this is
=============================================  ===========
this folder, by the same path                   `HERE`
this folder, by another path: a symbolic link,  `HERE`
a bind mount, a second mount
no folder, or one that has no run of this id    `MOVED`
another folder with this id                     `COPIED`
something that can't be read, or that belongs   `UNREACHABLE`, which the user may call `MOVED`
to a file system that is not there
=============================================  ===========

Two folders are the same if their inodes are, or if a file that is written
into one shows up in the other.
"""

from __future__ import annotations

import enum
import json
import os
import secrets
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from adaptive_scheduler.errors import RunFolderError
from adaptive_scheduler.learners.paths import Project

_MOUNTS = Path("/proc/self/mountinfo")
#: Names of data files that are looked for to see what was moved.
_NAMES_LOOKED_FOR = 100


class Standing(enum.Enum):
    """How a run folder stands to the place where its run was."""

    HERE = enum.auto()
    MOVED = enum.auto()
    COPIED = enum.auto()
    UNREACHABLE = enum.auto()


@dataclass(frozen=True)
class FileSystem:
    """The file system that a folder lies on, as far as that can be told.

    Attributes
    ----------
    mount, source
        Where it is mounted, and what: a device, or a server and its folder.
    host
        The host that says so.
    """

    mount: str
    source: str
    host: str

    @classmethod
    def of(cls, path: Path) -> FileSystem:
        """Return the file system on which `path` lies, or would lie."""
        mount, source = _mount_of(path)
        return cls(mount, source, socket.gethostname())

    def is_surely(self, other: FileSystem) -> bool:
        """Whether the other one, mounted at the same path, is this one beyond doubt.

        A device is known to its host only; a server is known to all.
        """
        is_on_server = ":" in self.source or self.source.startswith("//")
        same = (self.mount, self.source) == (other.mount, other.source)
        return same and (is_on_server or self.host == other.host)


@dataclass(frozen=True)
class RecordedPlace:
    """Where a run was when its spec was written.

    Attributes
    ----------
    run_id
        The run.
    root, project
        Its folder, and the folder in which it was started.
    file_system
        What `root` lies on.
    parts
        Where each part of the run folder was that need not lie in it, such as the logs.
    """

    run_id: str
    root: Path
    project: Path
    file_system: FileSystem
    parts: Mapping[str, Path] = field(default_factory=dict)


def standing(recorded: RecordedPlace, root: Path) -> Standing:
    """Return how the run folder `root` stands to the recorded place; see above. Blocks.

    A file is written into `root` and removed again, if nothing else can tell.
    """
    if os.path.normpath(root) == os.path.normpath(recorded.root):
        return Standing.HERE
    try:
        there = recorded.root.stat()
        if os.path.samestat(there, root.stat()):
            return Standing.HERE
        run_id = _run_id_in(recorded.root)
    except (FileNotFoundError, NotADirectoryError):
        is_certain = recorded.file_system.is_surely(FileSystem.of(recorded.root))
        return Standing.MOVED if is_certain else Standing.UNREACHABLE
    except OSError:  # EACCES, EIO, ESTALE and the like
        return Standing.UNREACHABLE
    if run_id != recorded.run_id:
        return Standing.MOVED
    return Standing.HERE if _shows_up(root, recorded.root) else Standing.COPIED


def check_reachable(recorded: RecordedPlace, found: Standing, *, is_moved: bool) -> Standing:
    """Return `found`, or `MOVED` where nobody can know and the user says so.

    Raises
    ------
    RunFolderError
        If nobody can know, and the user has not said.
    """
    if found is not Standing.UNREACHABLE:
        return found
    if is_moved:
        return Standing.MOVED
    raise RunFolderError(
        f"The run was in '{recorded.root}' (on {recorded.file_system.host}), which can't be looked "
        "at from here: this folder may be the run, moved, or a copy of it. If it was moved, say so "
        "(`--moved`, or `attach(..., moved=True)`); two managers of one run would do harm."
    )


def project_now(
    recorded: RecordedPlace, root: Path, found: Standing, names: Iterable[str] = ()
) -> Project:
    """Return the project of a run folder, wherever both lie now. Blocks.

    A project is moved, or copied, with its run folder, which lies as deep in it
    as before. Only if none of the data files came along, and some are still at
    the old place, was the run folder moved alone.

    Parameters
    ----------
    recorded, root, found
        As for, and from, `standing`.
    names
        Names of data files in the project, relative to it.
    """
    unmoved = Project(recorded.project, recorded.project)
    if found is Standing.HERE or not recorded.root.is_relative_to(recorded.project):
        return unmoved
    depth = len(recorded.root.relative_to(recorded.project).parts)
    project = Project(root.parents[depth - 1], recorded.project) if depth else unmoved
    some = [name for name, _ in zip(names, range(_NAMES_LOOKED_FOR), strict=False)]
    # An absolute name means its place in the project, and one outside tells nothing.
    inside = [name for name in map(project.name, some) if not Path(name).is_absolute()]
    came_along = any(_exists(project.folder / name) for name in inside)
    stayed = any(_exists(recorded.project / name) for name in inside)
    return unmoved if stayed and not came_along else project


def shared_with_original(ours: Iterable[Path], originals: Iterable[Path]) -> list[Path]:
    """Return the data files of a copy that are its original's as well. Blocks.

    Symbolic links to folders are followed. One in the place of a file is not: saving
    replaces it.
    """
    folders: dict[Path, str] = {}

    def place_of(path: Path) -> tuple[str, str]:
        if path.parent not in folders:
            folders[path.parent] = os.path.realpath(path.parent)
        return folders[path.parent], path.name

    theirs = {place_of(path) for path in originals}
    return [path for path in dict.fromkeys(ours) if place_of(path) in theirs]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # in a place that can't be read
        return False


def _run_id_in(root: Path) -> str:
    """Return the id of the run in a folder; empty if there is none that can be understood."""
    content = (root / "spec.json").read_bytes()
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(content)["run_id"])
    return ""


def _shows_up(root: Path, other: Path) -> bool:
    """Whether what is written into one folder is seen in another one."""
    token = f".place-{secrets.token_hex(8)}"
    try:
        (root / token).touch(mode=0o600, exist_ok=False)
    except OSError:  # as a copy it is shown, and nothing is touched
        return False
    try:
        return (other / token).exists()
    finally:
        (root / token).unlink(missing_ok=True)


def _mount_of(path: Path) -> tuple[str, str]:
    """Return where the file system of a path is mounted, and what; empty if that can't be told."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # no Linux
        return "", ""
    found = ("", "")
    for line in lines:
        left, _, right = line.partition(" - ")
        mount = left.split()[4].encode().decode("unicode_escape")
        if path.is_relative_to(mount) and len(mount) >= len(found[0]):
            found = mount, right.split()[1]
    return found
