"""A run as HTML that needs no JavaScript: the strip of the dashboard, and what a page keeps."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from adaptive_scheduler._common.formatting import (
    counted,
    percent,
    short_number,
    shortened,
    span,
)

if TYPE_CHECKING:
    from adaptive_scheduler.widgets.figures import RunFigures

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
#: The states in the order in which they are shown.
STATES: Final = tuple(SIGNS)
#: Rows of the table in a page without JavaScript.
_FAILURES_SHOWN = 10
#: Characters of an error, and of what can't be done, that such a page shows.
_LONGEST_ERROR, _LONGEST_TROUBLE = 500, 4_000
#: Runs that such a page shows; the others are counted.
_RUNS_SHOWN = 20
#: Reasons for which jobs wait that are told apart; the others are counted.
_REASONS_SHOWN = 4
#: Core-hours below which there is no telling how many.
_LITTLE = 0.01


def asset(name: str) -> str:
    """Return the text of a file in ``static/``."""
    return (files("adaptive_scheduler.widgets") / "static" / name).read_text(encoding="utf-8")


def strip(figures: RunFigures) -> str:
    """Return how a run is: its name, a bar of all learners, and figures."""
    return (
        f'<section class="as-strip" aria-label="Run {escape(figures.name)}">'
        f"{_headline(figures)}{_bar(figures)}{_legend(figures)}{_facts(figures)}"
        f"{_jobs(figures)}{_trouble(figures)}"
        "</section>"
    )


def static_page(
    runs: Sequence[tuple[RunFigures, Sequence[tuple[int, str]]]],
    mark: str = "",
    *,
    is_beside: bool = False,
) -> str:
    """Return what a saved or exported notebook shows.

    Parameters
    ----------
    runs
        Of each run how it is, and which learners failed last time and why.
    mark
        What the page is found by.
    is_beside
        Whether it stands beside a widget, and is to be seen only where that is not.
    """
    style = "".join(asset(f"{name}.css") for name in ("theme", "strip", "saved"))
    sections = [strip(figures) + _failures(failures) for figures, failures in runs[:_RUNS_SHOWN]]
    if (n_more := len(runs) - _RUNS_SHOWN) > 0:
        sections.append(f'<p class="as-waits">And {counted(n_more, "more run")}.</p>')
    stamp = f'<p class="as-waits">As of {time.strftime("%Y-%m-%d %H:%M:%S")}.</p>'
    kind = "as-root as-saved as-beside" if is_beside else "as-root as-saved"
    page = f'<div class="{kind}" data-mark="{mark}">{"".join(sections)}{stamp}</div>'
    return f"<style>{style}</style>{page}"


def _failures(failures: Sequence[tuple[int, str]]) -> str:
    if not failures:
        return ""
    rows = "".join(
        f"<tr><th scope='row'>{index}</th><td>{escape(shortened(error, _LONGEST_ERROR))}</td></tr>"
        for index, error in failures[:_FAILURES_SHOWN]
    )
    more = len(failures) - _FAILURES_SHOWN
    caption = "What has failed" + (f" ({more:,} more)" if more > 0 else "")
    return (
        f'<table class="as-failures"><caption>{caption}</caption>'
        f"<thead><tr><th>learner</th><th>last error</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _headline(figures: RunFigures) -> str:
    status = "paused" if figures.is_paused and not figures.is_over else figures.status
    kind = status.replace(" ", "-")
    return (
        '<header class="as-headline">'
        f'<span class="as-name">{escape(figures.name)}</span>'
        f'<span class="as-status as-status-{kind}">{status}</span>'
        f'<span class="as-folder" title="{escape(figures.folder)}">{escape(figures.folder)}</span>'
        "</header>"
    )


def _in_order(counts: dict[str, int]) -> Iterator[tuple[str, int]]:
    return ((state, counts[state]) for state in STATES if counts.get(state))


def _bar(figures: RunFigures) -> str:
    words = ", ".join(f"{n:,} {state}" for state, n in _in_order(figures.counts))
    segments = "".join(
        f'<span class="as-segment as-{state}" style="flex-grow:{n}" title="{n:,} {state}"></span>'
        for state, n in _in_order(figures.counts)
    )
    return f'<div class="as-bar" role="img" aria-label="Learners: {words}">{segments}</div>'


def _legend(figures: RunFigures) -> str:
    items = "".join(
        f'<li><span class="as-key as-{state}" aria-hidden="true">{SIGNS[state]}</span>'
        f"<b>{n:,}</b> {state}</li>"
        for state, n in _in_order(figures.counts)
    )
    total = counted(figures.n_learners, "learner")
    return f'<ul class="as-legend"><li class="as-total">{total}</li>{items}</ul>'


def _facts(figures: RunFigures) -> str:
    facts = [
        ("time left", span(figures.time_left), ""),
        ("elapsed", span(figures.elapsed), ""),
        ("points", f"{figures.npoints:,}", _rate(figures)),
        ("jobs", "none" if figures.is_over else f"{figures.jobs_running:,}", _running(figures)),
        ("core-hours", _core_hours(figures.core_hours), ""),
        ("CPU per job", percent(figures.cpu), "of a core"),
        ("memory per job", percent(figures.memory), "of the node"),
        ("loss", short_number(figures.loss), "median"),
    ]
    if figures.status != "running":
        facts = [fact for fact in facts if fact[0] not in {"time left", "CPU per job"}]
        facts = [fact for fact in facts if fact[0] != "memory per job"]
    items = "".join(_fact(*fact) for fact in facts)
    return f'<dl class="as-facts">{items}</dl>'


def _fact(name: str, value: str, note: str) -> str:
    small = f"<small>{escape(note)}</small>" if note else ""
    return f"<div><dt>{name}</dt><dd>{value}{small}</dd></div>"


def _core_hours(hours: float) -> str:
    return f"&lt; {_LITTLE}" if 0 < hours < _LITTLE else short_number(hours)


def _rate(figures: RunFigures) -> str:
    return f"{short_number(figures.rate)}/s" if figures.rate else ""


def _running(figures: RunFigures) -> str:
    return "" if figures.is_over else "running"


def _jobs(figures: RunFigures) -> str:
    """Return what is to say about jobs, on a line that is there as long as the run lives."""
    is_alive = not figures.is_over and figures.status != "not yet started"
    sentences = [_why_jobs_wait(figures)] if is_alive else []
    if figures.ends:
        sentences.append(f"Jobs that ended: {figures.ends}.")
    return f'<p class="as-jobs">{escape(" ".join(sentences))}</p>' if sentences else ""


def _why_jobs_wait(figures: RunFigures) -> str:
    if not figures.jobs_pending:
        return "No jobs are pending."
    words = f"{counted(figures.jobs_pending, 'job')} pending"
    reasons = [f"{n:,} {reason}" for reason, n in figures.reasons.items()]
    if (n_more := len(reasons) - _REASONS_SHOWN) > 0:
        reasons[_REASONS_SHOWN:] = [f"{n_more:,} other reasons"]
    return f"{words}: {', '.join(reasons)}." if reasons else f"{words}."


def _trouble(figures: RunFigures) -> str:
    if not figures.trouble:
        return ""
    trouble = shortened(figures.trouble, _LONGEST_TROUBLE)
    return f'<p class="as-trouble" role="status">{escape(trouble)}</p>'
