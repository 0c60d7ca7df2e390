"""Numbers, sizes and spans of time as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

#: What stands for an unknown value.
NOTHING: Final = "\N{EN DASH}"

_SIZES: Final = ("B", "kB", "MB", "GB", "TB", "PB")
_STEP: Final = 1000
#: Numbers from here to there are written without a power of ten.
_PLAIN: Final = (1e-3, 1e6)
#: Numbers from here on are written without decimals.
_WHOLE: Final = 100


def counted(n: int, noun: str) -> str:
    """Return a number of things: "1 job", "2 jobs"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def short_number(value: float | None) -> str:
    """Return a number with three or four significant digits."""
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


def percent(value: float | None) -> str:
    """Return a whole number of percent."""
    return NOTHING if value is None else f"{value:.0f} %"


def first_of(items: Sequence[str], limit: int) -> str:
    """Return the first of some things, and how many more there are: "a, b and 3 more"."""
    rest = len(items) - limit
    return ", ".join(items[:limit]) + (f" and {rest:,} more" if rest > 0 else "")


def shortened(text: str, limit: int) -> str:
    """Return the beginning of a text, with a mark where it was cut off."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def span(seconds: float | timedelta | None, *, is_rough: bool = False) -> str:
    """Return a span of time in its two largest units, or "unknown".

    Parameters
    ----------
    seconds
        The span; a negative one counts as nothing.
    is_rough
        Leave the seconds out of a span of a minute or more: for estimates.
    """
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
    if minutes:
        return f"{minutes} min" if is_rough else f"{minutes} min {whole:02} s"
    return f"{whole} s"


def size(n_bytes: float) -> str:
    """Return a number of bytes in its largest unit."""
    for unit in _SIZES[:-1]:
        if n_bytes < _STEP:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= _STEP
    return f"{n_bytes:.3g} {_SIZES[-1]}"
