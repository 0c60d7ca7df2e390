"""A user's function that makes the disk of its own job sick, as long as a file says so.

It must be evaluated in the job's own process. Jobs import this module: it must import little.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.waiting import PATIENCE

#: What a sign says that makes the disk slow instead of broken.
SLOW = "slow"
_PAUSE = 0.01


@dataclass(frozen=True)
class OnFailingDisk:
    """A function, and a sign beside it.

    Parameters
    ----------
    function
        What is computed.
    sign
        While this file is there, nothing gets to the disk: it holds the number
        of the error that is raised instead, or the word `SLOW`.
    """

    function: Callable[[Any], Any]
    sign: Path

    def __call__(self, x: Any) -> Any:
        """Compute, on a disk that may be sick from now on."""
        if not hasattr(os.fsync, "sign"):
            os.fsync = _sick(os.fsync, self.sign)
        return self.function(x)


def _sick(fsync: Callable[[int], None], sign: Path) -> Callable[[int], None]:
    def call(fd: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while sign.exists() and time.monotonic() < deadline:
            what = sign.read_text()
            if what != SLOW:
                raise OSError(int(what), os.strerror(int(what)))
            time.sleep(_PAUSE)
        fsync(fd)

    call.sign = sign  # type: ignore[attr-defined]
    return call


def make_failing(sign: Path, what: int | str) -> None:
    """Give the sign, in one go."""
    new = sign.with_suffix(".new")
    new.write_text(str(what))
    new.rename(sign)
