"""The files that learners are saved in, named after what is in them.

Users' data lies under names that these functions made, so for the same
arguments the names must stay the same in every version.
"""

from __future__ import annotations

import hashlib
import math
import pickle
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.errors import UnpicklableError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "add_constant_to_fname",
    "combo2fname",
    "combo_to_fname",
    "hash_anything",
    "maybe_round",
    "round_sigfigs",
]

#: Hashes are parts of file names, so this must not follow Python's default.
_PICKLE_PROTOCOL = 4


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
