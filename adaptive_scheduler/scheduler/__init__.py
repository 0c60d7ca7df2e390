"""Queueing systems: submit jobs, list them, cancel them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
