"""Bars that show how far something is, in a terminal or in a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from rich.progress import Progress

__all__ = ["track_file_creation_progress"]

Item = TypeVar("Item")

#: Seconds between two looks of a notebook's bars.
_PAUSE = 0.2

#: All files of a tuple count as one.
_Files: TypeAlias = Path | tuple[Path, ...]


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


def track_file_creation_progress(
    paths_dict: Mapping[str, Iterable[_Files]], interval: float = 1
) -> asyncio.Task[None]:
    """Show a progress bar for each group of files, until all files are there.

    Call it in a notebook's cell, or wherever an event loop runs.

    Parameters
    ----------
    paths_dict
        For each group, which has a name, the files. A tuple of files counts
        as one that is there when all of them are.
    interval
        How often to look, in seconds.

    Returns
    -------
    asyncio.Task
        Ends when all files are there. Cancel it to stop looking.

    Raises
    ------
    RuntimeError
        No event loop runs.
    """
    import asyncio  # whoever looks at a run from a shell does without it

    groups = {name: [_as_paths(files) for files in group] for name, group in paths_dict.items()}
    loop = asyncio.get_running_loop()
    return loop.create_task(_track(groups, interval), name="track_file_creation_progress")


async def _track(groups: dict[str, list[set[Path]]], interval: float) -> None:
    import asyncio

    with bars() as shown:
        total = sum(len(group) for group in groups.values())
        total_bar = shown.add("Total", total) if len(groups) > 1 else None
        numbers = {name: shown.add(name, len(group)) for name, group in groups.items()}
        missing = groups
        while True:
            # In a thread, because a network file system may take its time.
            missing = await asyncio.to_thread(_still_missing, missing)
            for name, group in groups.items():
                shown.update(numbers[name], len(group) - len(missing[name]))
            n_missing = sum(len(group) for group in missing.values())
            if total_bar is not None:
                shown.update(total_bar, total - n_missing)
            if not n_missing:
                return
            await asyncio.sleep(interval)


def _still_missing(groups: dict[str, list[set[Path]]]) -> dict[str, list[set[Path]]]:
    """Return the groups without what has been seen; it counts, even if it goes away again."""
    missing = {}
    for name, group in groups.items():
        looked = [{path for path in files if not path.exists()} for files in group]
        missing[name] = [files for files in looked if files]
    return missing


def _as_paths(files: _Files | str) -> set[Path]:
    return set(files) if isinstance(files, tuple) else {Path(files)}
