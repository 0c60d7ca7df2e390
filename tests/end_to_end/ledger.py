"""Functions under test that write down who evaluates them, where, and when.

Jobs import this module: it must import little.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.end_to_end.own_job import OWN_JOB_PID, own_job_id
from tests.waiting import PATIENCE
from tests.whole_lines import whole_lines

_PAUSE = 0.01


@dataclass(frozen=True)
class Entry:
    """One line: an evaluation begins or returns."""

    event: str
    learner: int
    x: Hashable
    job_id: str
    job_pid: int
    pid: int
    time: float


class Ledger:
    """A file to which processes append what they evaluate; each line is written at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, event: str, learner: int, x: Any) -> int:
        """Add a line, and return where in the file it ends."""
        line = {
            "event": event,
            "learner": learner,
            "x": x,
            "job_id": own_job_id(),
            "job_pid": OWN_JOB_PID,
            "pid": os.getpid(),
            "time": time.time(),
        }
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, json.dumps(line, default=_plain).encode() + b"\n")
            return os.lseek(fd, 0, os.SEEK_CUR)
        finally:
            os.close(fd)

    def count(self, event: str, learner: int, end: int) -> int:
        """Return how many lines of this kind there are in the first `end` bytes."""
        start = json.dumps({"event": event, "learner": learner})[:-1].encode()
        return self.path.read_bytes()[:end].count(start + b",")

    def entries(self, event: str, learner: int | None = None) -> list[Entry]:
        """Return what was written down, in order."""
        found = [Entry(**json.loads(line)) for line in whole_lines(self.path)]
        return [
            Entry(**{**vars(e), "x": _hashable(e.x)})
            for e in found
            if e.event == event and learner in (None, e.learner)
        ]

    def begun(self, learner: int | None = None) -> list[Entry]:
        """Return the evaluations that have begun."""
        return self.entries("begins", learner)

    def returned(self, learner: int | None = None) -> list[Entry]:
        """Return the evaluations that have come to their end."""
        return self.entries("returns", learner)

    def points(self, learner: int) -> set[Hashable]:
        """Return the points at which a learner's function was evaluated to the end."""
        return {e.x for e in self.returned(learner)}

    def twice(self) -> list[tuple[int, Hashable]]:
        """Return the learners and points that were evaluated to the end more than once."""
        counts = Counter((e.learner, e.x) for e in self.returned())
        return [point for point, n in counts.items() if n > 1]

    def jobs(self, learner: int | None = None) -> list[str]:
        """Return the ids of the jobs that have evaluated anything, in order."""
        return list(dict.fromkeys(e.job_id for e in self.begun(learner)))


def value_at(x: Any) -> float:
    """Return a number for any point."""
    return float(sum(x)) if isinstance(x, tuple | list) else float(x) ** 2


@dataclass(frozen=True)
class Noted:
    """A user's function whose evaluations stand in a ledger.

    Parameters
    ----------
    ledger
        The file of the ledger.
    learner
        Whose function it is.
    free
        So many evaluations go through; later ones wait for `gate`.
    gate
        The file that opens the gate; None if there is none.
    raises
        Says of the number of an evaluation, counted from 1, whether it raises.
    function
        What is computed in the end.
    """

    ledger: Path
    learner: int = 0
    free: int = 0
    gate: Path | None = None
    raises: Callable[[int], bool] | None = None
    function: Callable[[Any], Any] = value_at

    def __call__(self, x: Any) -> Any:
        """Compute and note."""
        ledger = Ledger(self.ledger)
        end = ledger.note("begins", self.learner, x)
        is_shut = self.gate is not None and not self.gate.exists()
        if is_shut and ledger.count("begins", self.learner, end) > self.free:
            _wait_for(self.gate)
        if self.raises is not None and self.raises(ledger.count("begins", self.learner, end)):
            raise ValueError(f"no value for learner {self.learner} at {x}")
        y = self.function(x)
        ledger.note("returns", self.learner, x)
        return y


def _wait_for(gate: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not gate.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Nobody opened '{gate}'.")
        time.sleep(_PAUSE)


def _plain(x: Any) -> Any:
    """Return a point that JSON does not know as something that it does."""
    return x.item() if hasattr(x, "item") else repr(x)


def _hashable(x: Any) -> Hashable:
    return tuple(_hashable(each) for each in x) if isinstance(x, list) else x
