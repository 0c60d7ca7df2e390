"""A bar that shows how far a loop is, where somebody looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Item = TypeVar("Item")


def tracked(items: Sequence[Item], description: str, *, shown: bool) -> Iterable[Item]:
    """Go through `items`, showing a progress bar if it is wanted."""
    if not shown:
        return items
    from rich.progress import track

    return track(items, description)
