"""A run on a terminal: drawn there, or told in plain lines where the output is no terminal.

States are told apart by their characters as well as by their colours, and all
fits into 80 columns.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from adaptive_scheduler._common.formatting import percent, short_number, span
from adaptive_scheduler.server_support.info import (
    RunInfo,
    as_line,
    as_text,
    manager_in_words,
    troubles_in_words,
)

if TYPE_CHECKING:
    from typing import Self

    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table
    from rich.text import Text

    from adaptive_scheduler.server_support.view import RunView

#: Columns of a terminal that a picture takes at most.
_WIDEST = 100
#: Seconds between two updates of the live view.
_REFRESH = 0.5
#: Seconds between two plain lines that say nothing new but the time.
_QUIET_LINE = 30.0
#: How a run's status looks.
_STYLES = {
    "finished": "bold green",
    "failed": "bold red",
    "cancelled": "bold yellow",
    "unmanaged": "bold yellow",
}


class _Part(NamedTuple):
    """Learners in one state, in the bar and in the line below it."""

    word: str
    n: int
    mark: str
    plain_mark: str
    style: str


class RunDrawing:
    """A run at one moment, for rich to show.

    Parameters
    ----------
    info
        The run.
    """

    def __init__(self, info: RunInfo) -> None:
        self.info = info

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, _WIDEST)
        is_plain = options.ascii_only
        yield _title(self.info, width)
        yield _bar(self.info, width, is_plain=is_plain)
        yield _legend(self.info, is_plain=is_plain)
        yield _table(_rows(self.info))


def _parts(info: RunInfo) -> list[_Part]:
    return [
        _Part("done", info.n_done, "█", "#", "green"),
        _Part("failed", info.n_failed, "✗", "x", "red"),
        _Part("running", info.n_running, "▓", "=", "blue"),
        _Part("ready", info.n_ready, "░", "-", "bright_black"),
        _Part("waiting", info.n_waiting, "·", ".", "bright_black"),
        _Part("cancelled", info.n_cancelled, "◌", "c", "yellow"),
    ]


def _title(info: RunInfo, width: int) -> Text:
    from rich.text import Text

    left = Text.assemble(
        (info.name, "bold"),
        "  ",
        (_status(info), _STYLES.get(info.status, "bold blue")),
        f"  {span(info.elapsed_time)}",
    )
    if info.status == "running":
        is_known = info.time_left is not None
        left_over = span(info.time_left, is_rough=True)
        right = f"about {left_over} left" if is_known else "time left: unknown"
        left.append(right.rjust(max(len(right) + 2, width - left.cell_len)))
    return left


def _status(info: RunInfo) -> str:
    is_paused = info.is_paused and info.status == "running"
    return "paused: no new jobs are submitted" if is_paused else info.status


def _bar(info: RunInfo, width: int, *, is_plain: bool) -> Text:
    from rich.text import Text

    parts = _parts(info)
    bar = Text(no_wrap=True)
    for part, size in zip(parts, shares([part.n for part in parts], width), strict=True):
        bar.append((part.plain_mark if is_plain else part.mark) * size, part.style)
    return bar


def shares(counts: list[int], width: int) -> list[int]:
    """Return how many of `width` places each count gets; nobody who counts gets none."""
    total = sum(counts)
    if total == 0:
        return [0] * len(counts)
    sizes = [max(1, count * width // total) if count else 0 for count in counts]
    # What rounding has left over, or taken too much, goes to the largest, or comes from it.
    sizes[counts.index(max(counts))] += width - sum(sizes)
    return [max(0, size) for size in sizes]


def _legend(info: RunInfo, *, is_plain: bool) -> Text:
    from rich.text import Text

    legend = Text()
    for part in _parts(info):
        if part.n:
            legend.append(part.plain_mark if is_plain else part.mark, part.style)
            legend.append(f" {part.n:,} {part.word}   ")
    legend.append(f"of {info.n_learners:,} learners", "dim")
    return legend


def _table(rows: Iterable[tuple[str, str, str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, words, style in rows:
        table.add_row(name, Text(words, style))
    return table


def _rows(info: RunInfo) -> Iterator[tuple[str, str, str]]:
    """Yield title, words and style of the lines below the bar."""
    if info.is_alive:
        yield "jobs", _jobs(info), ""
    yield "points", _points(info), ""
    yield "folder", info.folder, "dim"
    if manager := manager_in_words(info):
        yield "manager", manager, "dim"
    if info.trouble:
        yield "trouble", info.trouble, "yellow"
    for who, words, is_given_up in troubles_in_words(info):
        yield who, words, "red" if is_given_up else ""


def _jobs(info: RunInfo) -> str:
    jobs = f"{info.jobs_running:,} running, {info.jobs_pending:,} pending"
    if not info.jobs_pending or not info.pending_reasons:
        return jobs
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in info.pending_reasons.items())
    return f"{jobs}: {reasons}"


def _points(info: RunInfo) -> str:
    parts = [f"{info.npoints:,}"]
    if info.status == "running":
        parts += [f"{short_number(info.rate)} a second"] if info.rate else []
        parts += [] if info.cpu is None else [f"CPU {percent(info.cpu)}"]
        parts += [] if info.memory is None else [f"memory {percent(info.memory)}"]
    parts += [f"{short_number(info.core_hours)} core-hours"] if info.core_hours else []
    return "   ".join(parts)


# Until the end.


def watch(view: RunView, wait: Callable[[float], bool], timeout: float | None) -> bool:
    """Show a run until it is over.

    Parameters
    ----------
    view
        The run.
    wait
        Waits for some seconds, and returns whether the run is over.
    timeout
        Seconds after which to return anyway.

    Returns
    -------
    bool
        Whether the run is over.
    """
    from rich.console import Console

    deadline = None if timeout is None else time.monotonic() + timeout
    show = _Terminal if Console(stderr=True).is_terminal else _Lines
    with show() as shown:
        while True:
            left = _REFRESH if deadline is None else min(_REFRESH, deadline - time.monotonic())
            is_over = wait(max(left, 0.0))
            shown.update(view.info(), is_over=is_over)
            if is_over or (deadline is not None and time.monotonic() >= deadline):
                return is_over


class _Lines:
    """Prints a line when something has changed, and now and then."""

    def __init__(self) -> None:
        self._shown: tuple[object, ...] = ()
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, info: RunInfo, *, is_over: bool) -> None:
        now = time.monotonic()
        news = (info.status, info.n_done, info.n_failed, info.trouble, len(info.failures))
        if news != self._shown or now >= self._next:
            text = as_text(info) if is_over or news[3:] != self._shown[3:] else as_line(info)
            print(text, file=sys.stderr, flush=True)  # noqa: T201  this is what it is for
            self._shown, self._next = news, now + _QUIET_LINE


class _Terminal:
    """Draws a bar and the figures below it, again and again in the same place."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def update(self, info: RunInfo, *, is_over: bool) -> None:
        del is_over  # the last picture stays
        self._live.update(RunDrawing(info))
