"""Plain functions as jobs, with the face of `concurrent.futures`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaptive_scheduler._common.lazy import lazy_names

if TYPE_CHECKING:
    from adaptive_scheduler.futures.executor import SlurmExecutor, SlurmTask

_HOME = {
    "SlurmExecutor": "adaptive_scheduler.futures.executor",
    "SlurmTask": "adaptive_scheduler.futures.executor",
}

__all__ = ["SlurmExecutor", "SlurmTask"]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
