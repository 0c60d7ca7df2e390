"""Run many `adaptive` learners on many cores of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaptive_scheduler._common.lazy import lazy_names

if TYPE_CHECKING:
    from adaptive_scheduler import client_support, scheduler, server_support, utils
    from adaptive_scheduler.futures.executor import SlurmExecutor, SlurmTask
    from adaptive_scheduler.scheduler import PBS, SLURM
    from adaptive_scheduler.server_support import (
        MultiRunManager,
        RunManager,
        slurm_run,
        start_one_by_one,
    )
    from adaptive_scheduler.version import __version__

#: Public names and the module that defines each. A job imports this package
#: too, and must not pay for what only the manager's side needs.
_HOME = {
    "PBS": "adaptive_scheduler.scheduler",
    "SLURM": "adaptive_scheduler.scheduler",
    "MultiRunManager": "adaptive_scheduler.server_support",
    "RunManager": "adaptive_scheduler.server_support",
    "SlurmExecutor": "adaptive_scheduler.futures",
    "SlurmTask": "adaptive_scheduler.futures",
    "__version__": "adaptive_scheduler.version",
    "client_support": "adaptive_scheduler.client_support",
    "scheduler": "adaptive_scheduler.scheduler",
    "server_support": "adaptive_scheduler.server_support",
    "slurm_run": "adaptive_scheduler.server_support",
    "start_one_by_one": "adaptive_scheduler.server_support",
    "utils": "adaptive_scheduler.utils",
}

__all__ = [
    "PBS",
    "SLURM",
    "MultiRunManager",
    "RunManager",
    "SlurmExecutor",
    "SlurmTask",
    "__version__",
    "client_support",
    "scheduler",
    "server_support",
    "slurm_run",
    "start_one_by_one",
    "utils",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
