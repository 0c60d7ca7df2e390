"""Run many `adaptive` learners on many cores of a cluster."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptive_scheduler import client_support, scheduler, server_support, utils
    from adaptive_scheduler.server_support import RunManager

#: Public names and the module that defines each. A job imports this package
#: too, and must not pay for what only the manager's side needs.
_HOME = {
    "RunManager": "adaptive_scheduler.server_support",
}
_MODULES = frozenset({"client_support", "scheduler", "server_support", "utils"})

__all__ = [
    "RunManager",
    "__version__",
    "client_support",
    "scheduler",
    "server_support",
    "utils",
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
