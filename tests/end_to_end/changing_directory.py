"""Code of users that changes the working directory. Jobs import this: it must import little."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ChangesDirectory:
    """A function, goal, loss or initializer that goes to `folder`, and then returns `value`.

    Without a `value` it returns the square of its argument.
    """

    folder: Path
    value: Any = None

    def __call__(self, *args: Any) -> Any:
        os.chdir(self.folder)
        return args[0] ** 2 if self.value is None else self.value


def read_marker(x: float) -> float:
    """Return what a file in the working directory says."""
    return x * float(Path("marker").read_text())


@dataclass(frozen=True)
class GoalThatChangesDirectory:
    """A goal of so many points that goes to `folder` each time it is asked."""

    folder: Path
    npoints: int

    def __call__(self, learner: Any) -> bool:
        os.chdir(self.folder)
        return bool(learner.npoints >= self.npoints)
