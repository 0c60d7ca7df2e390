"""Where the jobs of a test run: on this machine, or on the Slurm cluster of the tests."""

from __future__ import annotations

from typing import Any

import pytest

from adaptive_scheduler.scheduler import SLURM, Local
from adaptive_scheduler.scheduler.base import BaseScheduler
from adaptive_scheduler.scheduler.jobs import QueuedJob

#: Has a test run once at each site; without it, `site` is this machine.
BOTH_SITES = pytest.mark.parametrize(
    "site", ["local", pytest.param("slurm", marks=pytest.mark.cluster)], indirect=True
)
LOCAL_AND_SLURM: dict[str, type[BaseScheduler]] = {"local": Local, "slurm": SLURM}


class Site:
    """A place with a queue, which tests use by the same words.

    Parameters
    ----------
    name
        "local" or "slurm".
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._defaults = {"max_cores": 2, "kill_wait": 20} if name == "local" else {}
        self._kind = LOCAL_AND_SLURM[name]

    def scheduler(self, cores: int = 1, **keywords: Any) -> BaseScheduler:
        """Return a scheduler of this site."""
        scheduler = self._kind(cores=cores, **{**self._defaults, **keywords})
        scheduler.min_poll_interval = 0.5
        return scheduler

    def scheduler_text(self) -> str:
        """Return how a program of the user's makes such a scheduler."""
        keywords = "".join(f", {name}={value}" for name, value in self._defaults.items())
        return f"{self._kind.__name__}(cores=1{keywords})"

    def queue(self) -> dict[str, QueuedJob]:
        """Return all jobs that there are."""
        return self.scheduler().queue()

    def running(self) -> set[str]:
        """Return the ids of the jobs that run."""
        return {job_id for job_id, job in self.queue().items() if job["phase"] == "running"}
