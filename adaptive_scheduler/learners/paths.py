"""The names of learners' data files, and the files that they name.

Users give strings or paths, and lists of them for a `BalancingLearner`. Only
strings are ever stored: they mean the same on every machine and in every
version of Python. What a relative name means does not depend on the working
directory, which any cell and any function may change: a `Project` resolves
each name once.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from typing import Self

#: What names the data of one learner: a list for a `BalancingLearner`.
FnameTypes: TypeAlias = str | Path | list[str] | list[Path]

#: What names the data of all learners of a run.
FnamesTypes: TypeAlias = list[str] | list[Path] | list[list[str]] | list[list[Path]]


@dataclass(frozen=True)
class ResolvedFname:
    """The name of a learner's data as the user wrote it, and the files that it names.

    Attributes
    ----------
    given
        The name to show.
    paths
        Absolute paths of the files: several for a `BalancingLearner`.
    """

    given: FnameTypes
    paths: tuple[Path, ...]

    @property
    def names(self) -> tuple[Path, ...]:
        """What the user calls each of the files."""
        return tuple(Path(name) for name in _names(self.given))


#: A name that is resolved, or one that starts from the working directory.
AnyFname: TypeAlias = FnameTypes | ResolvedFname


@dataclass(frozen=True)
class Project:
    """The folder from which a run's relative names start: that in which it was started.

    Parameters
    ----------
    folder
        Where it is now, absolute.
    recorded
        Where it was when the names were written down: another place if the
        project was moved, or copied, since.
    """

    folder: Path
    recorded: Path

    @classmethod
    def at(cls, folder: str | Path) -> Self:
        """Return the project whose names are written down now."""
        absolute = Path(folder).expanduser().absolute()
        return cls(absolute, absolute)

    @classmethod
    def here(cls) -> Self:
        """Return the project that the working directory is."""
        return cls.at(Path.cwd())

    def path(self, name: str | Path) -> Path:
        """Return the absolute path that `name` means; ``~`` is expanded.

        What lies in the project has moved with it, also if it was given by an
        absolute name. Anything else lies where it did, and so does what a name
        such as ``../data`` meant.
        """
        path = self.recorded / Path(name).expanduser()
        if self.recorded == self.folder:
            return path
        inside = _inside(path, self.recorded)
        return path if inside is None else self.folder / inside

    def name(self, name: str | Path) -> str:
        """Return a name that two places of the project have in common.

        It is relative for what lies in the project, and absolute for what does not.
        """
        path = self.recorded / Path(name).expanduser()
        inside = _inside(path, self.recorded)
        return os.path.normpath(path) if inside is None else inside.as_posix()

    def holds(self, path: Path) -> bool:
        """Whether an absolute path lies in the project as it is now."""
        return _inside(path, self.folder) is not None

    def resolve(self, fname: AnyFname) -> ResolvedFname:
        """Resolve the name of a learner's data; one that is resolved stays as it is."""
        if isinstance(fname, ResolvedFname):
            return fname
        paths = tuple(self.path(name) for name in _names(fname))
        return ResolvedFname(self._spelling(fname, paths), paths)

    def resolve_all(self, fnames: Iterable[AnyFname]) -> list[ResolvedFname]:
        """Resolve the names of many learners' data."""
        return [self.resolve(fname) for fname in fnames]

    def _spelling(self, fname: FnameTypes, paths: tuple[Path, ...]) -> FnameTypes:
        """Return `fname`, with absolute names of what has moved as they are now."""
        names = _names(fname)
        if all(not Path(name).is_absolute() for name in names) or self.recorded == self.folder:
            return fname
        spelled = [
            str(path) if Path(name).is_absolute() else os.fspath(name)
            for name, path in zip(names, paths, strict=True)
        ]
        return spelled if is_several(fname) else spelled[0]

    def digest(self, fnames: Iterable[FnameTypes]) -> str:
        """Return what tells a list of fnames from others, wherever the project lies."""
        names = [[self.name(name) for name in _names(fname)] for fname in fnames]
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def fname_to_str(fname: AnyFname) -> str | list[str]:
    """Write `fname` in strings, as the user gave it."""
    names = [os.fspath(name) for name in _names(fname)]
    return names if is_several(fname) else names[0]


def fname_to_paths(fname: AnyFname) -> list[Path]:
    """List the files that `fname` names, one or several, as absolute paths.

    A name that is not resolved starts from the working directory.
    """
    return list(resolve_here(fname).paths)


def resolve_here(fname: AnyFname) -> ResolvedFname:
    """Resolve a name from the working directory, which is not asked for if it is resolved."""
    return fname if isinstance(fname, ResolvedFname) else Project.here().resolve(fname)


def is_several(fname: AnyFname) -> bool:
    """Whether `fname` is a list, as for a `BalancingLearner`."""
    return isinstance(given_name(fname), list | tuple)


def given_name(fname: AnyFname) -> FnameTypes:
    """Return `fname` as the user gave it."""
    return fname.given if isinstance(fname, ResolvedFname) else fname


def _names(fname: AnyFname) -> list[str | Path]:
    given = given_name(fname)
    return list(given) if isinstance(given, list | tuple) else [given]


def _inside(path: Path, folder: Path) -> Path | None:
    """Return `path` relative to `folder`, or None if it does not lie in there."""
    normal, start = os.path.normpath(path), f"{str(folder).rstrip('/')}/"
    return Path(normal[len(start) :]) if normal.startswith(start) else None
