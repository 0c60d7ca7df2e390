"""Queueing systems: submit jobs, list them, cancel them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaptive_scheduler._common.lazy import lazy_names

if TYPE_CHECKING:
    from adaptive_scheduler.scheduler.base import BaseScheduler
    from adaptive_scheduler.scheduler.jobs import (
        Batch,
        JobArray,
        JobEnd,
        Phase,
        QueuedJob,
        queued_job,
    )
    from adaptive_scheduler.scheduler.local.scheduler import Local, LocalMockScheduler
    from adaptive_scheduler.scheduler.pbs.scheduler import PBS
    from adaptive_scheduler.scheduler.registry import DefaultScheduler
    from adaptive_scheduler.scheduler.resources import PerLearner, Resources, seconds_of
    from adaptive_scheduler.scheduler.script import JobVariables
    from adaptive_scheduler.scheduler.slurm.resources import slurm_partitions
    from adaptive_scheduler.scheduler.slurm.scheduler import SLURM

#: Public names and the module that defines each. The daemon of `Local` runs
#: inside this package, and must start quickly.
_HOME = {
    "PBS": "adaptive_scheduler.scheduler.pbs.scheduler",
    "SLURM": "adaptive_scheduler.scheduler.slurm.scheduler",
    "BaseScheduler": "adaptive_scheduler.scheduler.base",
    "DefaultScheduler": "adaptive_scheduler.scheduler.registry",
    "Local": "adaptive_scheduler.scheduler.local.scheduler",
    "LocalMockScheduler": "adaptive_scheduler.scheduler.local.scheduler",
    "slurm_partitions": "adaptive_scheduler.scheduler.slurm.resources",
    # For those who write a scheduler.
    "Batch": "adaptive_scheduler.scheduler.jobs",
    "JobArray": "adaptive_scheduler.scheduler.jobs",
    "JobEnd": "adaptive_scheduler.scheduler.jobs",
    "JobVariables": "adaptive_scheduler.scheduler.script",
    "PerLearner": "adaptive_scheduler.scheduler.resources",
    "Phase": "adaptive_scheduler.scheduler.jobs",
    "QueuedJob": "adaptive_scheduler.scheduler.jobs",
    "Resources": "adaptive_scheduler.scheduler.resources",
    "queued_job": "adaptive_scheduler.scheduler.jobs",
    "seconds_of": "adaptive_scheduler.scheduler.resources",
}

__all__ = [
    "PBS",
    "SLURM",
    "BaseScheduler",
    "Batch",
    "DefaultScheduler",
    "JobArray",
    "JobEnd",
    "JobVariables",
    "Local",
    "LocalMockScheduler",
    "PerLearner",
    "Phase",
    "QueuedJob",
    "Resources",
    "queued_job",
    "seconds_of",
    "slurm_partitions",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
