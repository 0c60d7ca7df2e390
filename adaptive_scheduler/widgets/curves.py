"""How single learners went, as their logs tell."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from adaptive_scheduler.run_folder.log_lines import status_lines
from adaptive_scheduler.widgets.attempts import attempts_at

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.layout import RunFolder

#: Learners that are drawn at once; more can't be told apart.
MOST_CURVES: Final = 8
#: Points of a curve that are drawn; of more, every second, third and so on.
_MOST_POINTS: Final = 400


def curves_of(folder: RunFolder, learners: Iterable[int]) -> list[dict[str, Any]]:
    """Return points and loss over time of learners, from the logs of all their attempts."""
    return [_curve(folder, index) for index in list(learners)[:MOST_CURVES]]


def _curve(folder: RunFolder, learner: int) -> dict[str, Any]:
    logs = dict.fromkeys(story.log for story in attempts_at(folder, learner) if story.log)
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
