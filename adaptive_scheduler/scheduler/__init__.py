"""Queueing systems: submit jobs, list them, cancel them.

=========== ===================================================================
module      subject
=========== ===================================================================
`base`      what every scheduler does, and what one for another system says
`command`   running the commands of a system, with time limits
`jobs`      jobs as they are handed to a scheduler, and as it shows them
`resources` what a job asks for, for one learner or for many
`script`    the text of a job script, and how the job starts and is warned
`registry`  schedulers by their short names, and the one of this machine
`slurm`     Slurm: what jobs ask for, commands, queue
`pbs`       OpenPBS, PBS Professional and Torque, in the same parts
`local`     one machine: a daemon that starts jobs, and a supervisor for each
=========== ===================================================================
"""

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
