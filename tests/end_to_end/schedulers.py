"""`Local`, with the faults of the schedulers of clusters."""

from __future__ import annotations

from pathlib import Path

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler import Local


class Forgetful(Local):
    """Leaves jobs out of the queue that still run, as after the loss of a node.

    The file `forgotten` has their ids, one a line.
    """

    def __init__(self, forgotten: Path, **keywords):
        super().__init__(**keywords)
        self.forgotten = forgotten

    def queue(self, *, me_only=True):
        lost = self.forgotten.read_text().split() if self.forgotten.exists() else []
        return {i: job for i, job in super().queue(me_only=me_only).items() if i not in lost}


class Unreliable(Local):
    """Fails as often as it answers; submissions sometimes after the jobs were taken."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.n_looks = 0
        self.n_submissions = 0

    def queue(self, *, me_only=True):
        self.n_looks += 1
        if self.n_looks % 2:
            raise SchedulerUnavailableError("no answer to a look at the queue")
        return super().queue(me_only=me_only)

    def submit(self, batch):
        self.n_submissions += 1
        if self.n_submissions == 1:
            raise SchedulerUnavailableError("no answer, and the jobs were not taken")
        job_ids = super().submit(batch)
        if self.n_submissions == 2:
            raise SchedulerUnavailableError("no answer, though the jobs were taken")
        return job_ids
