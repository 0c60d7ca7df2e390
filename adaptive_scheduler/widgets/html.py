"""A run as HTML that needs no JavaScript: the strip of the dashboard, and what a page keeps.

What a saved notebook shows is an output of its own in the cell of the widget. Notebooks
build an output anew whenever it changes, so that a widget in it would lose what its user
has selected, scrolled and typed. Which of the two is to be seen, ``static/saved.css`` says.
What comes after a notebook has been opened anew, while its kernel lives, gets into the page
by ``static/page_keeper.js``.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from adaptive_scheduler._common.formatting import (
    counted,
    percent,
    short_number,
    shortened,
    span,
)
from adaptive_scheduler.server_support.info import (
    SIGNS,
    RunInfo,
    as_text,
    ends_in_words,
    manager_in_words,
    stamp_of,
)

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.info import Failure, RunInfo
    from adaptive_scheduler.server_support.view import RunView
    from adaptive_scheduler.widgets.components import PageKeeper

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


def strip(info: RunInfo) -> str:
    """Return how a run is: its name, a bar of all learners, and info."""
    return (
        f'<section class="as-strip" aria-label="Run {escape(info.name)}">'
        f"{_headline(info)}{_bar(info)}{_legend(info)}{_facts(info)}"
        f"{_jobs(info)}{_manager(info)}{_trouble(info)}"
        "</section>"
    )


def static_page(
    runs: Sequence[RunInfo],
    mark: str = "",
    *,
    is_beside: bool = False,
) -> str:
    """Return what a saved or exported notebook shows.

    Parameters
    ----------
    runs
        The state of each run.
    mark
        What the page is found by.
    is_beside
        Whether it stands beside a widget, and is to be seen only where that is not.
    """
    style = "".join(asset(f"{name}.css") for name in ("theme", "strip", "saved"))
    sections = [strip(info) + _failures(info.failures) for info in runs[:_RUNS_SHOWN]]
    if (n_more := len(runs) - _RUNS_SHOWN) > 0:
        sections.append(f'<p class="as-waits">And {counted(n_more, "more run")}.</p>')
    stamp = f'<p class="as-waits">As of {stamp_of(time.time())}.</p>'
    kind = "as-root as-saved as-beside" if is_beside else "as-root as-saved"
    page = f'<div class="{kind}" data-mark="{mark}">{"".join(sections)}{stamp}</div>'
    return f"<style>{style}</style>{page}"


def _failures(failures: Sequence[Failure]) -> str:
    if not failures:
        return ""
    rows = "".join(
        f"<tr><th scope='row'>{failure.learner}</th>"
        f"<td>{escape(shortened(failure.error, _LONGEST_ERROR))}</td></tr>"
        for failure in failures[:_FAILURES_SHOWN]
    )
    more = len(failures) - _FAILURES_SHOWN
    caption = "What has failed" + (f" ({more:,} more)" if more > 0 else "")
    return (
        f'<table class="as-failures"><caption>{caption}</caption>'
        f"<thead><tr><th>learner</th><th>last error</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _headline(info: RunInfo) -> str:
    status = "paused" if info.is_paused and not info.is_over else info.status
    kind = status.replace(" ", "-")
    return (
        '<header class="as-headline">'
        f'<span class="as-name">{escape(info.name)}</span>'
        f'<span class="as-status as-status-{kind}">{status}</span>'
        f'<span class="as-folder" title="{escape(info.folder)}">{escape(info.folder)}</span>'
        "</header>"
    )


def _in_order(counts: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    return ((state, counts[state]) for state in SIGNS if counts.get(state))


def _bar(info: RunInfo) -> str:
    words = ", ".join(f"{n:,} {state}" for state, n in _in_order(info.counts))
    segments = "".join(
        f'<span class="as-segment as-{state}" style="flex-grow:{n}" title="{n:,} {state}"></span>'
        for state, n in _in_order(info.counts)
    )
    return f'<div class="as-bar" role="img" aria-label="Learners: {words}">{segments}</div>'


def _legend(info: RunInfo) -> str:
    items = "".join(
        f'<li><span class="as-key as-{state}" aria-hidden="true">{SIGNS[state]}</span>'
        f"<b>{n:,}</b> {state}</li>"
        for state, n in _in_order(info.counts)
    )
    total = counted(info.n_learners, "learner")
    return f'<ul class="as-legend"><li class="as-total">{total}</li>{items}</ul>'


def _facts(info: RunInfo) -> str:
    facts = [
        ("time left", span(info.time_left), ""),
        ("elapsed", span(info.elapsed_time), ""),
        ("points", f"{info.npoints:,}", f"{short_number(info.rate)}/s" if info.rate else ""),
        (
            "jobs",
            "none" if info.is_over else f"{info.jobs_running:,}",
            "" if info.is_over else "running",
        ),
        ("core-hours", _core_hours(info.core_hours), ""),
        ("CPU per job", percent(info.cpu), "of a core"),
        ("memory per job", percent(info.memory), "of the node"),
        ("loss", short_number(info.loss), "median"),
    ]
    if info.status != "running":
        facts = [fact for fact in facts if fact[0] not in {"time left", "CPU per job"}]
        facts = [fact for fact in facts if fact[0] != "memory per job"]
    items = "".join(_fact(*fact) for fact in facts)
    return f'<dl class="as-facts">{items}</dl>'


def _fact(name: str, value: str, note: str) -> str:
    small = f"<small>{escape(note)}</small>" if note else ""
    return f"<div><dt>{name}</dt><dd>{value}{small}</dd></div>"


def _core_hours(hours: float) -> str:
    return f"&lt; {_LITTLE}" if 0 < hours < _LITTLE else short_number(hours)


def _jobs(info: RunInfo) -> str:
    """Return what is to say about jobs, on a line that is there as long as the run lives."""
    is_alive = not info.is_over and info.status != "not yet started"
    sentences = [_why_jobs_wait(info)] if is_alive else []
    if ends := ends_in_words(info.ends):
        sentences.append(f"Jobs that ended: {ends}.")
    return f'<p class="as-jobs">{escape(" ".join(sentences))}</p>' if sentences else ""


def _why_jobs_wait(info: RunInfo) -> str:
    if not info.jobs_pending:
        return "No jobs are pending."
    words = f"{counted(info.jobs_pending, 'job')} pending"
    reasons = [f"{n:,} {reason}" for reason, n in info.pending_reasons.items()]
    if (n_more := len(reasons) - _REASONS_SHOWN) > 0:
        reasons[_REASONS_SHOWN:] = [f"{n_more:,} other reasons"]
    return f"{words}: {', '.join(reasons)}." if reasons else f"{words}."


def _trouble(info: RunInfo) -> str:
    if not info.trouble:
        return ""
    trouble = shortened(info.trouble, _LONGEST_TROUBLE)
    return f'<p class="as-trouble" role="status">{escape(trouble)}</p>'


def _manager(info: RunInfo) -> str:
    """Return who manages a run, if that is not this process."""
    manager = manager_in_words(info)
    return f'<p class="as-jobs">{escape(manager.capitalize())}.</p>' if manager else ""


#: Seconds between two states of a run that goes on: what is saved is older by so much at most.
INTERVAL = 30.0
#: Characters of text about a run, and about all of them.
_LONGEST_TEXT, _LONGEST_TEXTS = 4_000, 20_000

_VIEW = "application/vnd.jupyter.widget-view+json"


class LastState:
    """The state of runs in the output of a cell, renewed now and then.

    Parameters
    ----------
    views
        The runs.
    """

    def __init__(self, views: Sequence[RunView]) -> None:
        self._views = views
        self._mark = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._publish: Callable[..., None] | None = None
        self._keeper: PageKeeper | None = None
        self._shown: dict[str, RunInfo] = {}
        self._next = 0.0

    def display(self, widget: Any) -> None:
        """Show a widget, and below it the page, in the output of the cell that is executed."""
        from IPython.core.interactiveshell import InteractiveShell

        with self._lock:
            # Kept, since another publisher stands in its place while a cell's output is captured.
            self._publish = InteractiveShell.instance().display_pub.publish
            self._publish({"text/plain": "", "text/html": "", **view_of(widget)})
            self._send(update=False)

    def notice(self, info: RunInfo) -> None:
        """Renew the page if it shows what is no longer so, and it is time to.

        That is at once when the status of a run has changed. That time goes by is no change.

        Parameters
        ----------
        info
            One of the runs as it is now.
        """
        now = _without_times(info)
        with self._lock:
            shown = self._shown.get(now.folder)
            if shown is None or shown == now:
                return
            if shown.status != now.status or time.monotonic() >= self._next:
                self._send()

    def end(self) -> None:
        """Renew the page for the last time, now that the widget is gone."""
        with self._lock:
            self._send(is_beside=False)
            if self._keeper is not None:
                self._keeper.close()
            self._publish, self._keeper, self._shown = None, None, {}

    def _send(self, *, update: bool = True, is_beside: bool = True) -> None:
        if self._publish is None:
            return
        infos = [view.info() for view in self._views]
        self._shown = {info.folder: _without_times(info) for info in infos}
        self._next = time.monotonic() + INTERVAL
        page = page_of(infos, self._mark, is_beside=is_beside)
        self._publish(page, transient={"display_id": self._mark}, update=update)
        self._keep(page)

    def _keep(self, page: dict[str, str]) -> None:
        from adaptive_scheduler.widgets.components import PageKeeper

        if self._keeper is None:
            self._keeper = PageKeeper(self._mark, page)
        else:
            self._keeper.page = page


def page_of(infos: Sequence[RunInfo], mark: str = "", *, is_beside: bool = False) -> dict[str, str]:
    """Return the states of runs as text and as HTML, see `static_page`."""
    text = "\n".join(shortened(as_text(info), _LONGEST_TEXT) for info in infos)
    html = static_page(infos, mark, is_beside=is_beside)
    text = shortened(text, _LONGEST_TEXTS) or "There are no runs."
    return {"text/plain": text, "text/html": html}


def view_of(widget: Any) -> dict[str, Any]:
    """Return what a notebook displays a widget by."""
    return {_VIEW: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}}


def _without_times(info: RunInfo) -> RunInfo:
    return replace(info, as_of=0.0, elapsed_time=0.0, time_left=None)
