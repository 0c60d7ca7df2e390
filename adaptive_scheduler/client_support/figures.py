"""How far a learner is, and what its job uses, in figures."""

from __future__ import annotations

import contextlib
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil

from adaptive_scheduler.protocol.messages import Figures, finite

if TYPE_CHECKING:
    from adaptive import AsyncRunner


class _Use(NamedTuple):
    """What processes have used: seconds of CPU, and percent of the host's memory."""

    user: float
    system: float
    memory: float


class Usage:
    """CPU and memory that this process and its children use."""

    def __init__(self) -> None:
        self._last_time = time.monotonic()
        self._last = self._look()

    def figures(self) -> Figures:
        """Return use since the last call: CPU in percent of one core, memory of the host's."""
        now, use, last = time.monotonic(), self._look(), self._last
        elapsed = max(now - self._last_time, 1e-3)
        seconds = use.user + use.system - last.user - last.system
        self._last_time, self._last = now, use
        return {
            "cpu_usage": round(100 * max(seconds, 0.0) / elapsed, 1),
            "mem_usage": round(use.memory, 2),
            "cputimes.user": round(use.user, 2),
            "cputimes.system": round(use.system, 2),
        }

    @staticmethod
    def _look() -> _Use:
        user = system = memory = 0.0
        for process in _family():
            with contextlib.suppress(psutil.Error), process.oneshot():  # one may have just ended
                times = process.cpu_times()
                memory += process.memory_percent()
                user, system = user + times.user, system + times.system
        return _Use(user, system, memory)


def _family() -> list[psutil.Process]:
    """Return this process and its descendants, without a look at all others of the host."""
    pids, family = [os.getpid()], []
    while pids:
        pid = pids.pop()
        with contextlib.suppress(psutil.Error):
            family.append(psutil.Process(pid))
            pids += _children(pid)
    return family


def _children(pid: int) -> list[int]:
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        lists = [(thread / "children").read_bytes() for thread in threads]
    except OSError:  # it has just ended, or the kernel has no such lists
        return [child.pid for child in psutil.Process(pid).children()]
    return [int(child) for children in lists for child in children.split()]


def learner_figures(learner: Any) -> Figures:
    """Return points and loss of a learner; of its children where it has some."""
    figures: Figures = {
        "npoints": int(learner.npoints),
        "latest_loss": latest_loss(learner),
    }
    children = getattr(learner, "learners", None)
    if isinstance(children, list) and children:
        figures["nlearners"] = len(children)
        figures["npoints/learner"] = learner.npoints / len(children)
    return figures


def latest_loss(learner: Any) -> float | None:
    """Return the loss of a learner; None where it has none yet."""
    try:
        return finite(float(learner.loss()))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return None  # too early: some learners have no loss before their first points


def runner_figures(runner: AsyncRunner, npoints_start: int) -> Figures:
    """Return how a runner does."""
    elapsed = runner.elapsed_time()
    learner = runner.learner
    n_new = learner.npoints - npoints_start
    overhead = runner.overhead()
    return {
        "elapsed_time": elapsed,
        "overhead": overhead if math.isfinite(overhead) else None,
        **learner_figures(learner),
        "npoints/s": n_new / elapsed if elapsed > 0 else 0.0,
    }
