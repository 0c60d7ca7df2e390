"""How a job spreads its evaluations over its cores.

====================== ============================================================
module                 executor
====================== ============================================================
`kinds`                what each of them needs, and how many cores a job gives it
`base`                 what all of them share
`worker`               what runs in their worker processes
`process_pool`         ``"process-pool"``: forked processes with a pipe each
`loky`                 ``"loky"``: such processes that start from scratch
`sequential`           ``"sequential"``: a thread in the job's own process
`cluster`              what the executors share that span nodes
`mpi`                  ``"mpi4py"``: the ranks of an MPI program
`dask`                 ``"dask"``: a scheduler in the job and its workers
`ipyparallel`          ``"ipyparallel"``: a controller beside the job and its engines
`parent_death`         processes that end with their parent
====================== ============================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adaptive_scheduler.executors.base import Workers
    from adaptive_scheduler.executors.kinds import EXECUTOR_TYPES, LOKY_START_METHODS


@dataclass(frozen=True, kw_only=True)
class WorkerLayout:
    """How a job spreads its evaluations.

    Attributes
    ----------
    executor_type
        Which executor does.
    cores
        How many cores the job has, on all of its nodes.
    worker_launcher
        The command that starts a program on cores, without how many; none
        where the job itself starts it so many times.
    scratch
        A folder that the executor may make and use, and removes in the end.
    """

    executor_type: EXECUTOR_TYPES
    cores: int
    worker_launcher: tuple[str, ...]
    scratch: Path


def open_workers(layout: WorkerLayout, loky_start_method: LOKY_START_METHODS = "loky") -> Workers:
    """Return the workers of a job. None is started before there is something to evaluate."""
    match layout.executor_type:
        case "process-pool":
            from adaptive_scheduler.executors.process_pool import ProcessPoolWorkers

            return ProcessPoolWorkers(layout.cores)
        case "loky":
            from adaptive_scheduler.executors.loky import LokyWorkers

            return LokyWorkers(layout.cores, loky_start_method)
        case "sequential":
            from adaptive_scheduler.executors.sequential import SequentialWorkers

            return SequentialWorkers()
        case "mpi4py":
            from adaptive_scheduler.executors.mpi import MPIWorkers

            return MPIWorkers()
        case "dask" | "dask-mpi":
            from adaptive_scheduler.executors.dask import Dask

            return Dask(layout)
        case "ipyparallel":
            from adaptive_scheduler.executors.ipyparallel import IPyParallel

            return IPyParallel(layout)
