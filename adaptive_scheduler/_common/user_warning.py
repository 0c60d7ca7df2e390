"""Warnings that point to the line of the user's program they are about."""

from __future__ import annotations

import inspect
import warnings

_PACKAGE = __name__.partition(".")[0]


def warn_user(message: str) -> None:
    """Warn, and show the line outside of this package from which it was called."""
    level = 1
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame = frame.f_back
        level += 1
    # In a thread of ours there is no such line: Python shows one of its own.
    warnings.warn(message, UserWarning, stacklevel=level)
