"""How a run has gone so far: a curve that never grows beyond a few hundred points."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable
from pathlib import Path

import msgspec

from adaptive_scheduler._common.atomic import atomic_write

#: Samples that are kept at most.
MAX_SAMPLES = 720


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """A run at one moment.

    Attributes
    ----------
    time
        In seconds since the epoch.
    npoints
        Points of all learners, as far as their jobs have told.
    loss
        Median of the learners' losses; None if nobody has told any.
    n_done
        Learners that are done.
    jobs_running, jobs_pending
        Jobs that live.
    core_seconds
        What the jobs have used since the run began.
    """

    time: float
    npoints: int
    loss: float | None
    n_done: int
    jobs_running: int
    jobs_pending: int
    core_seconds: float


class History:
    """Samples of a run, evenly spread over its time.

    When there are too many, every second one is dropped and they are taken half
    as often: a run of a minute is seen in seconds, and one of a month in hours.

    Parameters
    ----------
    samples
        What is known already.
    max_samples
        How many there may be.
    """

    def __init__(self, samples: Iterable[Sample] = (), *, max_samples: int = MAX_SAMPLES) -> None:
        self.max_samples = max_samples
        self.samples: list[Sample] = []
        #: Seconds that lie between two samples, at least.
        self.interval = 1.0
        for sample in samples:
            self.add(sample)

    def add(self, sample: Sample) -> None:
        """Take note of a sample. The newest one is always there, the others have their distance."""
        samples = self.samples
        if samples and sample.time < samples[-1].time:  # somebody has set the clock
            return
        if len(samples) > 1 and samples[-1].time - samples[-2].time < self.interval:
            samples[-1] = sample
        else:
            samples.append(sample)
        if len(samples) > self.max_samples:
            self.interval = max(
                2 * self.interval, (samples[-1].time - samples[0].time) / len(samples)
            )
            self._thin()

    def _thin(self) -> None:
        """Drop every second sample, but neither the first nor the last."""
        *others, last = self.samples
        self.samples = [*itertools.islice(others, 0, None, 2), last]

    def write(self, path: Path) -> None:
        """Write all samples into a file, atomically.

        Raises
        ------
        OSError
            If that can't be done.
        """
        data = msgspec.json.encode(self.samples)
        with atomic_write(path, "wb", make_folders=False) as file:
            file.write(data)


def read_history(path: Path) -> History:
    """Read what `History.write` has written; an empty history if there is nothing to read."""
    with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
        return History(msgspec.json.decode(path.read_bytes(), type=list[Sample]))
    return History()
