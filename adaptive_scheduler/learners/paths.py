"""The names of learners' data files, and the files that they name.

Users give strings or paths, and lists of them for a `BalancingLearner`. Only
strings are ever stored: they mean the same on every machine and in every
version of Python. What a relative name means does not depend on the working
directory, which any cell and any function may change: a `Project` resolves
each name once.

Data can be named after what is in it. Users' data lies under names that `combo2fname`
and others here made, so for the same arguments these must stay the same in every version.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from adaptive_scheduler.errors import UnpicklableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

__all__ = [
    "add_constant_to_fname",
    "combo2fname",
    "combo_to_fname",
    "hash_anything",
    "maybe_round",
    "round_sigfigs",
]

#: What names the data of one learner: a list for a `BalancingLearner`.
FnameTypes: TypeAlias = str | Path | list[str] | list[Path]

#: What names the data of all learners of a run.
FnamesTypes: TypeAlias = list[str] | list[Path] | list[list[str]] | list[list[Path]]

#: Hashes are parts of file names, so this must not follow Python's default.
_PICKLE_PROTOCOL = 4


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
        # One of the places may lie in the other: the inner one tells.
        places = sorted({self.recorded, self.folder}, key=lambda place: -len(place.parts))
        found = (_inside(path, place) for place in places)
        inside = next((each for each in found if each is not None), None)
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
    """Return `path` relative to `folder`, or None if it is neither that nor lies in there."""
    normal, start = os.path.normpath(path), f"{str(folder).rstrip('/')}/"
    if f"{normal}/" == start:
        return Path()
    return Path(normal[len(start) :]) if normal.startswith(start) else None


def round_sigfigs(num: float, sig_figs: int) -> float:
    """Round to a number of significant figures.

    Parameters
    ----------
    num
        The number. One that can't be rounded, because it is not finite or
        because the result would not be, is returned as it is.
    sig_figs
        How many significant figures to keep.

    Examples
    --------
    >>> round_sigfigs(123456.789, 2)
    120000.0
    """
    num = float(num)
    if num == 0:
        return 0.0  # Without a sign: -0.0 and 0.0 are one file name.
    if not math.isfinite(num):
        return num
    exponent = math.floor(math.log10(abs(num)))
    try:
        return round(num, int(sig_figs - 1 - exponent))
    except OverflowError:
        return num


def maybe_round(x: Any, sig_figs: int) -> Any:
    """Round `x` to significant figures if it is a float or a complex number.

    Anything else is returned as it is, and so is a complex number that has a
    part that is not finite.
    """
    if isinstance(x, float):
        return round_sigfigs(x, sig_figs)
    if isinstance(x, complex) and math.isfinite(x.real) and math.isfinite(x.imag):
        return complex(round_sigfigs(x.real, sig_figs), round_sigfigs(x.imag, sig_figs))
    return x


def combo2fname(
    combo: Mapping[str, Any],
    folder: str | Path | None = None,
    ext: str = ".pickle",
    sig_figs: int = 8,
) -> Path:
    """Name a file after a combination of parameters.

    Parameters
    ----------
    combo
        Names and values of the parameters. Their order does not matter.
    folder
        Where the file is.
    ext
        How the name ends.
    sig_figs
        To how many significant figures floats and complex numbers are rounded.

    Examples
    --------
    >>> combo2fname({"width": 0.01, "offset": 0.1})
    PosixPath('offset_0.1__width_0.01.pickle')
    """
    rounded = {name: maybe_round(combo[name], sig_figs) for name in sorted(combo)}
    return _name(rounded, folder, ext)


def combo_to_fname(
    combo: Mapping[str, Any], folder: str | Path | None = None, ext: str = ".pickle"
) -> Path:
    """Name a file after a combination of parameters, unsorted and unrounded.

    .. deprecated:: 3.0
        Kept for data that lies under such names; use `combo2fname` for new data.
    """
    warnings.warn(
        "combo_to_fname gives other names when the order or the last digit of the parameters "
        "changes: use combo2fname for new data.",
        DeprecationWarning,
        stacklevel=2,
    )
    return _name(combo, folder, ext)


def add_constant_to_fname(
    combo: Mapping[str, Any],
    constant: Mapping[str, Any],
    *,
    folder: str | Path | None = None,
    ext: str = ".pickle",
    sig_figs: int = 8,
) -> tuple[Path, Path]:
    """Name a file without and with parameters that used to be constants.

    Use it to rename data after a constant of the function became a parameter.

    Parameters
    ----------
    combo
        Names and values of the parameters, with or without the new ones.
    constant
        Names and values of the new parameters.
    folder, ext, sig_figs
        As in `combo2fname`.

    Returns
    -------
    tuple
        The old and the new name.
    """
    old = {name: value for name, value in combo.items() if name not in constant}
    new = {**old, **constant}
    return combo2fname(old, folder, ext, sig_figs), combo2fname(new, folder, ext, sig_figs)


def hash_anything(x: Any) -> str:
    """Return a hash that is the same in every process.

    Of arrays and bytes it hashes the bytes, without shape and type; of
    anything else the pickle. So equal values may have different hashes: 1 and
    1.0, dictionaries in another order, a list that holds one string twice and
    one that holds two equal strings.

    Raises
    ------
    UnpicklableError
        `x` can't be pickled.
    """
    # The bytes of an array of objects would be their addresses.
    if not getattr(getattr(x, "dtype", None), "hasobject", False):
        try:
            return _md5(x)
        except (TypeError, ValueError):
            pass  # It has no bytes of its own, or they don't lie side by side.
    try:
        return _md5(pickle.dumps(x, protocol=_PICKLE_PROTOCOL))
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise UnpicklableError(
            f"A {type(x).__name__} can't be hashed because it can't be pickled ({error}). "
            "Use values that can be pickled, such as numbers, strings, lists and dicts of them."
        ) from error


def _md5(data: Any) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _name(combo: Mapping[str, Any], folder: str | Path | None, ext: str) -> Path:
    name = "__".join(f"{key}_{value}" for key, value in combo.items()) + ext
    return Path(name) if folder is None else Path(folder) / name
