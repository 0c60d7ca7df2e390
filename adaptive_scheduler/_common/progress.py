"""Bars that show how far something is, in a terminal or in a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

Item = TypeVar("Item")

#: Seconds between two looks of a notebook's bars.
_PAUSE = 0.2


class Bars(Protocol):
    """Some bars below each other."""

    def add(self, name: str, total: int | None) -> int:
        """Add a bar, and return its number; without a total it only tells how much is done."""

    def update(self, number: int, done: int, total: int | None = None) -> None:
        """Show how much is done, and perhaps of how much."""


def in_kernel() -> bool:
    """Whether this process is the kernel of a notebook."""
    kernel = sys.modules.get("ipykernel.kernelapp")
    return kernel is not None and bool(kernel.IPKernelApp.initialized())


@contextmanager
def bars(*, transient: bool = False) -> Iterator[Bars]:
    """Show bars as long as the context lasts.

    Parameters
    ----------
    transient
        Whether a terminal forgets them at the end.
    """
    if in_kernel():
        notebook_bars = _NotebookBars()
        try:
            yield notebook_bars
        finally:
            notebook_bars.show()
    else:
        with _terminal_progress(transient=transient) as progress:
            yield _TerminalBars(progress)


def tracked(items: Sequence[Item], description: str, *, shown: bool = True) -> Iterable[Item]:
    """Go through `items`, showing a bar if it is wanted."""
    return _tracked(items, description) if shown else items


def _tracked(items: Sequence[Item], description: str) -> Iterator[Item]:
    with bars() as shown:
        number = shown.add(description, len(items))
        for n_done, item in enumerate(items, 1):
            yield item
            shown.update(number, n_done)


class _TerminalBars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def add(self, name: str, total: int | None) -> int:
        return self._progress.add_task(name, total=total)

    def update(self, number: int, done: int, total: int | None = None) -> None:
        task: Any = number  # rich's own type of the same number
        self._progress.update(task, completed=done, total=total)


def _terminal_progress(*, transient: bool) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TimeElapsedColumn(),
    )
    # A console of its own, because one console shows only one such display at a time.
    return Progress(*columns, console=Console(), transient=transient)


@dataclass
class _Bar:
    name: str
    total: int | None
    done: int = 0

    def __str__(self) -> str:
        return f"{self.name}: {self.done:,}" + ("" if self.total is None else f" of {self.total:,}")

    def html(self) -> str:
        of = "" if self.total is None else f' value="{self.done}" max="{max(self.total, 1)}"'
        name, words = escape(self.name), escape(str(self))
        return f'<div><progress aria-label="{name}"{of}></progress> {words}</div>'


class _NotebookBars:
    """Bars in an output that is renewed in place, so that a saved notebook keeps them.

    A widget that holds output (`ipywidgets.Output`, as rich uses it) has whoever runs notebooks
    without a page answer it, and nbclient can miss the end of a cell over that.
    """

    def __init__(self) -> None:
        self._bars: list[_Bar] = []
        self._handle: Any = None
        self._next = 0.0

    def add(self, name: str, total: int | None) -> int:
        self._bars.append(_Bar(name, total))
        self.show()
        return len(self._bars) - 1

    def update(self, number: int, done: int, total: int | None = None) -> None:
        bar = self._bars[number]
        bar.done = done
        bar.total = bar.total if total is None else total
        if time.monotonic() >= self._next:
            self.show()

    def show(self) -> None:
        from IPython.display import display

        text = "\n".join(map(str, self._bars))
        look = {"text/plain": text, "text/html": "".join(bar.html() for bar in self._bars)}
        if self._handle is None:
            self._handle = display(look, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(look, raw=True)
        self._next = time.monotonic() + _PAUSE
