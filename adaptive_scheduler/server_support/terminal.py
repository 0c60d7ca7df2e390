"""A run, drawn with the characters of a terminal.

States are told apart by their characters as well as by their colours, and all
fits into 80 columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from adaptive_scheduler._common.formatting import percent, short_number, span
from adaptive_scheduler.server_support.info import RunInfo

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table
    from rich.text import Text

#: Columns of a terminal that a picture takes at most.
_WIDEST = 100
#: Failures that are shown; the others are counted.
_FAILURES_SHOWN = 3
#: How a run's status looks.
_STYLES = {
    "finished": "bold green",
    "failed": "bold red",
    "cancelled": "bold yellow",
    "left alone": "bold yellow",
}


class _Part(NamedTuple):
    """Learners in one state, in the bar and in the line below it."""

    word: str
    n: int
    mark: str
    plain_mark: str
    style: str


class Picture:
    """A run at one moment, for rich to show.

    Parameters
    ----------
    info
        How the run is.
    more
        Further lines, by their titles.
    """

    def __init__(self, info: RunInfo, more: Mapping[str, str] | None = None) -> None:
        self.info = info
        self.more = more or {}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, _WIDEST)
        is_plain = options.ascii_only
        yield _title(self.info, width)
        yield _bar(self.info, width, is_plain=is_plain)
        yield _legend(self.info, is_plain=is_plain)
        yield _table([*_rows(self.info, self.more)])


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
    return "paused: nothing new is submitted" if is_paused else info.status


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


def _rows(info: RunInfo, more: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield title, words and style of the lines below the bar."""
    if info.is_alive:
        yield "jobs", _jobs(info), ""
    yield "points", _points(info), ""
    yield "folder", info.folder, "dim"
    for title, words in more.items():
        yield title, words, "dim"
    if info.trouble:
        yield "trouble", info.trouble, "yellow"
    for learner, trouble in list(info.learner_troubles.items())[:_FAILURES_SHOWN]:
        yield f"learner {learner}", trouble, "yellow"
    if (n_others := len(info.learner_troubles) - _FAILURES_SHOWN) > 0:
        yield "", f"... and {n_others:,} more have trouble", ""
    for failure in info.failures[:_FAILURES_SHOWN]:
        yield f"learner {failure.learner}", str(failure), "red" if failure.is_given_up else ""
    if (n_others := len(info.failures) - _FAILURES_SHOWN) > 0:
        yield "", f"... and {n_others:,} more have failed", ""


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
