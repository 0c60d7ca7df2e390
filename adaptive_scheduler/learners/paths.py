"""What may name a learner's data file, and what becomes of it.

Users give strings or paths, and lists of them for a `BalancingLearner`. Only
strings are ever stored: they mean the same on every machine and in every
version of Python.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

#: What names the data of one learner: a list for a `BalancingLearner`.
FnameTypes: TypeAlias = str | Path | list[str] | list[Path]

#: What names the data of all learners of a run.
FnamesTypes: TypeAlias = list[str] | list[Path] | list[list[str]] | list[list[Path]]


def fname_to_str(fname: FnameTypes) -> str | list[str]:
    """Write `fname` in strings, as the user gave it."""
    if isinstance(fname, (list, tuple)):
        return [os.fspath(name) for name in fname]
    return os.fspath(fname)


def fname_to_paths(fname: FnameTypes) -> list[Path]:
    """List the files that `fname` names, one or several, with ``~`` expanded."""
    names = fname if isinstance(fname, (list, tuple)) else [fname]
    return [Path(name).expanduser() for name in names]
