"""Wait for what must happen, without guessing how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Seconds within which everything happens: only what hangs takes longer, however busy the machine.
PATIENCE = 600.0
_PAUSE = 0.02


def wait_until(condition: Callable[[], T], timeout: float = PATIENCE) -> T:
    """Return the first true value of `condition`, or fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited {timeout} s in vain; the last value was {value!r}.")
        time.sleep(_PAUSE)
    return value
