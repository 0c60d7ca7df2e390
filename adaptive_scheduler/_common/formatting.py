"""Words for numbers of things."""

from __future__ import annotations


def counted(n: int, noun: str) -> str:
    """Return a number of things: "1 job", "2 jobs"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
