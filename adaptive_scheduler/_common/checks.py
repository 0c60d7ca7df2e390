"""Checks of values that users give."""

from __future__ import annotations

from adaptive_scheduler.errors import InvalidInputError


def check_count(name: str, count: object) -> None:
    """Check that a number is whole and positive.

    Raises
    ------
    InvalidInputError
        If it isn't.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InvalidInputError(f"`{name}` is a positive whole number, not {count!r}.")
