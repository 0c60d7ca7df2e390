"""What the benchmarks have run, the same for every package."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import adaptive
import cloudpickle
import numpy as np

# Jobs can't import this module: what they need of it travels with the learners.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

#: The name of a function below, and its arguments.
WorkName: TypeAlias = tuple[str, dict[str, Any]]

#: Elements, of 8 bytes each, of the array that the large function closes over.
_N_ELEMENTS = 10_000_000 // 8
#: More points than can be evaluated while we look.
_MANY = 100_000
#: Seconds that workers get to be there: one may evaluate the first points before another is.
_WARM_UP = 1.0


@dataclass(frozen=True)
class Work:
    """Learners, where their data goes, and when they are done."""

    learners: Sequence[Any]
    fnames: Sequence[str]
    goal: Callable[[Any], bool]


def make_work(name: WorkName, folder: Path) -> Work:
    """Return the work that another process has asked for."""
    kind, arguments = name
    return readme(folder, **arguments) if kind == "readme" else sequence(folder, **arguments)


def readme(folder: Path, number: int) -> Work:
    """Return the first of the README's twenty learners."""
    combos = adaptive.utils.named_product(pow=[*range(10)], a=[0.5, 1.0])[:number]
    return Work(
        [adaptive.Learner1D(partial(power, **combo), bounds=(-1, 1)) for combo in combos],
        [f"{folder}/data/a_{combo['a']}__pow_{combo['pow']}.pickle" for combo in combos],
        lambda learner: bool(learner.npoints > 200),
    )


def sequence(folder: Path, function: str, seconds: float, workers: int) -> Work:
    """Return one learner of a function that costs nothing.

    It is done after some seconds, and writes how many points it got in each
    into ``rate.json``.
    """
    functions: dict[str, Callable[[float], float]] = {
        "small": small,
        "large": partial(large, array=np.zeros(_N_ELEMENTS)),
    }
    return Work(
        [adaptive.SequenceLearner(functions[function], range(_MANY))],
        [f"{folder}/data/{function}.pickle"],
        Stopwatch(seconds, workers, folder / "rate.json"),
    )


def power(x: float, pow: int, a: float) -> float:  # noqa: A002  the README's names
    """Return what is expensive in a user's work."""
    return a * float(x**pow)


def small(x: float) -> float:
    """Return the argument."""
    return x


def large(x: float, array: np.ndarray[Any, Any]) -> float:
    """Return one element of a large array."""
    return float(array[int(x) % len(array)])


class Stopwatch:
    """A goal that ends a runner some seconds after its workers have warmed up."""

    def __init__(self, seconds: float, n_workers: int, out: Path) -> None:
        self._seconds = seconds
        self._n_first = n_workers
        self._out = out
        self._first_points: float | None = None
        self._started: float | None = None

    def __call__(self, learner: Any) -> bool:
        """Whether the time is over."""
        now = time.perf_counter()
        if self._first_points is None:
            if learner.npoints >= self._n_first:
                self._first_points = now
            return False
        if self._started is None:
            if now - self._first_points >= _WARM_UP:
                self._started, self._n_first = now, learner.npoints
            return False
        if now - self._started < self._seconds and not learner.done():
            return False
        rate = (learner.npoints - self._n_first) / (now - self._started)
        self._out.write_text(json.dumps(rate))
        return True
