"""How far a learner is, and what its job uses, in figures."""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING, Any

import psutil

from adaptive_scheduler.protocol import Figures, finite

if TYPE_CHECKING:
    from adaptive import AsyncRunner


class Usage:
    """CPU and memory that this process and its children use."""

    def __init__(self) -> None:
        self._last_time = time.monotonic()
        self._last_seconds = sum(self._cpu_seconds().values())

    def figures(self) -> Figures:
        """Return use since the last call: CPU in percent of one core, memory of the host's."""
        times = self._cpu_seconds()
        now, seconds = time.monotonic(), sum(times.values())
        elapsed = max(now - self._last_time, 1e-3)
        cpu_usage = 100 * max(seconds - self._last_seconds, 0.0) / elapsed
        self._last_time, self._last_seconds = now, seconds
        return {
            "cpu_usage": round(cpu_usage, 1),
            "mem_usage": round(self._memory_percent(), 2),
            "cputimes.user": round(times["user"], 2),
            "cputimes.system": round(times["system"], 2),
        }

    @staticmethod
    def _processes() -> list[psutil.Process]:
        me = psutil.Process()
        return [me, *me.children(recursive=True)]

    def _cpu_seconds(self) -> dict[str, float]:
        totals = {"user": 0.0, "system": 0.0}
        for process in self._processes():
            with contextlib.suppress(psutil.Error):  # a worker that has just ended
                times = process.cpu_times()
                totals["user"] += times.user
                totals["system"] += times.system
        return totals

    def _memory_percent(self) -> float:
        total = 0.0
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                total += process.memory_percent()
        return total


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
