"""Functions that write down on which node and in which process they are evaluated.

Jobs import this module: it must import little.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import PATIENCE

_PAUSE = 0.02


@dataclass(frozen=True)
class NodeRecorder:
    """A user's function whose first evaluations wait for each other.

    Parameters
    ----------
    folder
        Where each worker leaves a file, named after its node and process.
    n_meeting
        So many workers must be there before any of them goes on.
    raises_at, dies_at
        Points at which the function raises, and at which the first worker dies.
    is_prepared
        Whether `prepare` must have been called in each worker.
    """

    folder: Path
    n_meeting: int = 1
    raises_at: float | None = None
    dies_at: float | None = None
    is_prepared: bool = False

    def __call__(self, x: float) -> float:
        """Return the square of `x`."""
        assert not self.is_prepared or os.environ["PREPARED"] == "yes"
        node = os.environ.get("SLURMD_NODENAME") or os.environ.get("FAKE_NODE", "here")
        with (self.folder / f"{node}.{os.getpid()}").open("a") as file:
            file.write(f"{x}\n")
        deadline = time.monotonic() + PATIENCE
        while len(list(self.folder.iterdir())) < self.n_meeting:
            if time.monotonic() > deadline:
                raise TimeoutError("The others did not come: nothing runs in parallel.")
            time.sleep(_PAUSE)
        if x == self.raises_at:
            raise ValueError("no value here")
        if x == self.dies_at and not (died := self.folder.with_name("died")).exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return x**2


def prepare() -> None:
    """Stand for a user's initializer."""
    os.environ["PREPARED"] = "yes"
