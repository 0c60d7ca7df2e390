"""How a job spreads its evaluations over its cores.

====================== ============================================================
module                 executor
====================== ============================================================
`base`                 what all of them share
`worker`               what runs in their worker processes
`process_pool`         ``"process-pool"``: forked processes
`loky`                 ``"loky"``: processes that start from scratch
`sequential`           ``"sequential"``: a thread in the job's own process
`remote`               what executors share that span nodes
`mpi`, `lifeline`      ``"mpi4py"``: the ranks of an MPI program
`dask`                 ``"dask"``: a scheduler in the job and its workers
`ipyparallel`          ``"ipyparallel"``: a controller beside the job and its engines
`worker_processes`     programs that a job starts on all of its cores
`kinds`                what each of them needs
====================== ============================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptive_scheduler.executors.base import FunctionExecutor
    from adaptive_scheduler.resources import EXECUTOR_TYPES, LOKY_START_METHODS


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How a job spreads its evaluations.

    Attributes
    ----------
    executor_type
        Which executor does.
    cores
        How many cores the job has, on all of its nodes.
    worker_launcher
        The command that starts a program on each core; none where the job
        starts it so many times itself.
    scratch
        A folder that the executor may make and use, and removes in the end.
    """

    executor_type: EXECUTOR_TYPES
    cores: int
    worker_launcher: tuple[str, ...]
    scratch: Path


def open_executor(
    spread: Spread,
    function: Callable[[Any], Any],
    *,
    initializer: Callable[[], None] | None = None,
    loky_start_method: LOKY_START_METHODS = "loky",
) -> FunctionExecutor:
    """Return an executor for `function`."""
    match spread.executor_type:
        case "process-pool":
            from adaptive_scheduler.executors.process_pool import ProcessPool

            return ProcessPool(function, spread.cores, initializer)
        case "loky":
            from adaptive_scheduler.executors.loky import Loky

            return Loky(function, spread.cores, initializer, start_method=loky_start_method)
        case "sequential":
            from adaptive_scheduler.executors.sequential import Sequential

            return Sequential(function, spread.cores, initializer)
        case "mpi4py":
            from adaptive_scheduler.executors.mpi import MPIPool

            return MPIPool(function, spread.cores, initializer)
        case "dask" | "dask-mpi":
            from adaptive_scheduler.executors.dask import Dask

            return Dask(function, spread, initializer)
        case "ipyparallel":
            from adaptive_scheduler.executors.ipyparallel import IPyParallel

            return IPyParallel(function, spread, initializer)
