"""Run many `adaptive` learners on many cores of a cluster."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptive_scheduler import client_support, scheduler, server_support, utils, widgets
    from adaptive_scheduler.executor import SlurmExecutor, SlurmTask
    from adaptive_scheduler.scheduler import PBS, SLURM
    from adaptive_scheduler.server_support import (
        MultiRunManager,
        RunManager,
        slurm_run,
        start_one_by_one,
    )

#: Public names and the module that defines each. A job imports this package
#: too, and must not pay for what only the manager's side needs.
_HOME = {
    "MultiRunManager": "adaptive_scheduler.server_support",
    "PBS": "adaptive_scheduler.scheduler",
    "RunManager": "adaptive_scheduler.server_support",
    "SLURM": "adaptive_scheduler.scheduler",
    "SlurmExecutor": "adaptive_scheduler.executor",
    "SlurmTask": "adaptive_scheduler.executor",
    "slurm_run": "adaptive_scheduler.server_support",
    "start_one_by_one": "adaptive_scheduler.server_support",
}
_MODULES = frozenset({"client_support", "scheduler", "server_support", "utils", "widgets"})

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
    "widgets",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("adaptive-scheduler")
    if name in _MODULES:
        return import_module(f"adaptive_scheduler.{name}")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
