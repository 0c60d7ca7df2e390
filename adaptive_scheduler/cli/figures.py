"""A run, as its folder tells it, in the figures that a manager would tell."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from adaptive_scheduler.run_folder.history import Sample, read_history
from adaptive_scheduler.run_folder.models import DONE, RUNNING
from adaptive_scheduler.server_support.eta import time_left
from adaptive_scheduler.server_support.info import RunInfo, info_of_state

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.remote import OutsideView

#: Seconds of the latest history from which the rate is told.
_RECENT = 300.0


def info_of(view: OutsideView) -> RunInfo:
    """Return how a run is.

    Points are those of the history, which a manager writes every half minute.
    """
    state, now = view.state, time.time()
    samples = read_history(view.folder.history).samples
    is_running = view.status == "running"
    info = info_of_state(
        state,
        name=view.settings.job_name,
        folder=str(view.folder.root),
        status=view.status,
        elapsed_time=_elapsed(view, samples, now),
        npoints=samples[-1].npoints if samples else sum(e.npoints or 0 for e in state.learners),
    )
    is_over = state.ended is not None
    return replace(
        info,
        jobs_running=0 if is_over else info.jobs_running,
        jobs_pending=0 if is_over else info.jobs_pending,
        rate=_rate(samples) if is_running else 0.0,
        core_hours=samples[-1].core_seconds / 3600 if samples else 0.0,
        time_left=_time_left(view, now) if is_running else None,
    )


def _elapsed(view: OutsideView, samples: Sequence[Sample], now: float) -> float:
    begun = [e.started for e in view.state.learners if e.started is not None]
    begun += [sample.time for sample in samples[:1]]
    ended = [e.ended for e in view.state.learners if e.ended is not None]
    ended += [sample.time for sample in samples[-1:]]
    if not begun:
        return 0.0
    return (now if view.status == "running" else max(ended, default=now)) - min(begun)


def _rate(samples: Sequence[Sample]) -> float:
    recent = [sample for sample in samples if sample.time >= samples[-1].time - _RECENT]
    if len(recent) < 2:  # noqa: PLR2004  a rate needs two
        return 0.0
    seconds = recent[-1].time - recent[0].time
    return (recent[-1].npoints - recent[0].npoints) / seconds if seconds > 0 else 0.0


def _time_left(view: OutsideView, now: float) -> timedelta | None:
    """Tell from how long learners took that are done; how far others are is not known here."""
    learners = view.state.learners
    running = [e.started for e in learners if e.state == RUNNING and e.started is not None]
    took = [e.ended - e.started for e in learners if e.state == DONE and e.ended and e.started]
    return time_left(
        [float("nan")] * len(running),
        running,
        n_unstarted=view.state.n_unscheduled,
        mean_duration=sum(took) / len(took) if took else None,
        now=now,
    )
