"""Learners as curves over time, as their logs tell, and drawn by themselves."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any, Final

from adaptive_scheduler.run_folder.log_lines import status_lines

if TYPE_CHECKING:
    from adaptive import BaseLearner

    from adaptive_scheduler.server_support.view import RunView

#: Learners that are drawn at once; more can't be told apart.
MOST_CURVES: Final = 8
#: Points of a curve that are drawn; of more, every second, third and so on.
_MOST_POINTS: Final = 400


def curves_of(view: RunView, learners: Iterable[int]) -> list[dict[str, Any]]:
    """Return points and loss over time of learners, from the logs of all their attempts."""
    return [_curve(view, index) for index in list(learners)[:MOST_CURVES]]


def _curve(view: RunView, learner: int) -> dict[str, Any]:
    logs = dict.fromkeys(attempt.log for attempt in view.attempts(learner) if attempt.log)
    lines = [line for log in logs for line in status_lines(log, learner)]
    lines = lines[:: len(lines) // _MOST_POINTS + 1] + lines[-1:]
    samples = {_seconds(line): line for line in lines if line.get("timestamp")}
    times = sorted(samples)
    return {
        "index": learner,
        "time": times,
        "npoints": [samples[t].get("npoints") for t in times],
        "loss": [samples[t].get("latest_loss") for t in times],
    }


def _seconds(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def picture_of(learner: BaseLearner, title: str) -> str:
    """Return what ``learner.plot()`` draws as HTML; in words why nothing can be drawn, if so."""
    if not learner.npoints:
        return _words(f"{title} has no points here: load the learners first.")
    try:
        image = base64.b64encode(_png(learner)).decode()
    except Exception as error:  # noqa: BLE001  what a learner's plot may raise is its own affair
        return _words(f"{title} can't be drawn: {error}")
    return (
        f'<div class="as-root as-picture"><p>{escape(title)}: {learner.npoints:,} points</p>'
        f'<img src="data:image/png;base64,{image}" alt="Plot of {escape(title)}"></div>'
    )


def _png(learner: Any) -> bytes:
    import holoviews as hv
    import holoviews.plotting.mpl  # it registers the renderer

    plot = learner.plot()
    if isinstance(plot, hv.HoloMap | hv.DynamicMap):
        plot = plot.last
    data, _ = hv.Store.renderers["matplotlib"](plot, fmt="png")
    return bytes(data)


def _words(text: str) -> str:
    return f'<p class="as-root as-said">{escape(text)}</p>'
