"""Queueing systems: submit jobs, list them, cancel them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaptive_scheduler.lazy import lazy_names

if TYPE_CHECKING:
    from adaptive_scheduler.scheduler.base import BaseScheduler
    from adaptive_scheduler.scheduler.local import Local, LocalMockScheduler

#: Public names and the module that defines each. The daemon of `Local` runs
#: inside this package, and must start quickly.
_HOME = {
    "BaseScheduler": "adaptive_scheduler.scheduler.base",
    "Local": "adaptive_scheduler.scheduler.local",
    "LocalMockScheduler": "adaptive_scheduler.scheduler.local",
}

__all__ = ["BaseScheduler", "Local", "LocalMockScheduler"]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
