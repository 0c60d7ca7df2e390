"""Numbers, spans of time and states, as people read them."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Final

#: For each state of a learner a sign, so that nobody needs to tell colours apart.
SIGNS: Final = {
    "done": "✓",
    "running": "▶",
    "ready": "○",
    "waiting": "…",
    "delayed": "↻",
    "failed": "✗",
    "cancelled": "\N{EN DASH}",
}
#: What stands for an unknown value.
NOTHING: Final = "\N{EN DASH}"
#: The states in the order in which they are shown.
STATES: Final = tuple(SIGNS)

_SIZES: Final = ("B", "kB", "MB", "GB", "TB", "PB")
_STEP: Final = 1000
#: Numbers from here to there are written without a power of ten.
_PLAIN: Final = (1e-3, 1e6)
#: Numbers from here on are written without decimals.
_WHOLE: Final = 100


def short_number(value: float | None) -> str:
    """Return a number with three or four digits that matter."""
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞"
    if value and not _PLAIN[0] <= abs(value) < _PLAIN[1]:
        digits, _, power = f"{value:.2e}".partition("e")
        return f"{digits}e{int(power)}"
    if abs(value) >= _WHOLE or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def shortened(text: str, limit: int) -> str:
    """Return the beginning of a text, with a mark where it was cut off."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def span(seconds: float | timedelta | None) -> str:
    """Return a span of time in its two largest units, or "unknown"."""
    if seconds is None:
        return "unknown"
    total = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    minutes, whole = divmod(round(max(0.0, total)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days:,} d {hours} h"
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {whole:02} s" if minutes else f"{whole} s"


def size(n_bytes: float) -> str:
    """Return a number of bytes in its largest unit."""
    for unit in _SIZES[:-1]:
        if n_bytes < _STEP:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= _STEP
    return f"{n_bytes:.3g} {_SIZES[-1]}"
