"""The own plot of a learner, as a picture that any page can show."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptive import BaseLearner


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
