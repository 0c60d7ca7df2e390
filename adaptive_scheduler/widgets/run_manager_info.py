"""The figures of a run that programs ask for."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self

    from adaptive_scheduler.run_folder.layout import RunFolder
    from adaptive_scheduler.server_support.run_manager import RunManager

#: Figures of the jobs' logs of which there are statistics.
_FIGURES = ("npoints", "npoints/s", "latest_loss", "cpu_usage", "mem_usage", "overhead")


@dataclass(frozen=True, kw_only=True)
class RunManagerInfo:
    """The state of a run, in figures.

    Attributes
    ----------
    status
        Its state in a word.
    n_running, n_pending
        Jobs in the queue.
    n_done, n_failed, n_unscheduled
        Learners that are done, that were given up, and that no job has.
    elapsed_time
        Since the start.
    total_data_size
        Of all data files, in bytes.
    empty_learner_size
        Of a learner as jobs get it, on average, in bytes; None before the start.
    mean_starting_time, std_starting_time
        How long jobs were pending, in seconds; None where too few have started.
    log_stats
        Mean, least and greatest of what the jobs have logged last, by the
        figure's name; empty if that was not asked for.
    """

    status: str
    n_running: int
    n_pending: int
    n_done: int
    n_failed: int
    n_unscheduled: int
    elapsed_time: timedelta
    total_data_size: int
    empty_learner_size: int | None = None
    mean_starting_time: float | None = None
    std_starting_time: float | None = None
    log_stats: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_run_manager(cls, run_manager: RunManager, *, parse_log_files: bool = True) -> Self:
        """Collect the figures of a run.

        Parameters
        ----------
        run_manager
            The run.
        parse_log_files
            Collect `log_stats`, too.
        """
        info = run_manager.view.info()
        times = run_manager.job_starting_times()
        stats = dict(_stats(run_manager)) if parse_log_files else {}
        return cls(
            status=info.status,
            n_running=info.jobs_running,
            n_pending=info.jobs_pending,
            n_done=info.n_done,
            n_failed=info.n_failed,
            n_unscheduled=info.n_ready + info.n_waiting,
            elapsed_time=timedelta(seconds=info.elapsed_time),
            total_data_size=sum(map(_size, _data_files(run_manager))),
            empty_learner_size=_mean_size(run_manager.run_folder, len(run_manager.learners)),
            mean_starting_time=statistics.fmean(times) if times else None,
            std_starting_time=statistics.stdev(times) if len(times) > 1 else None,
            log_stats=stats,
        )


def _data_files(run_manager: RunManager) -> Iterator[Path]:
    return (path for fname in run_manager.view.fnames for path in fname.paths)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _mean_size(folder: RunFolder, n_learners: int) -> int | None:
    size = _size(folder.pack)
    return size // n_learners if size else None


def _stats(run_manager: RunManager) -> Iterator[tuple[str, dict[str, float]]]:
    frame = run_manager.parse_log_files()
    for name in _FIGURES:
        if name not in frame:
            continue
        values: Sequence[float] = frame[name].dropna().astype(float).tolist()
        if values:
            yield (
                name,
                {"mean": statistics.fmean(values), "min": min(values), "max": max(values)},
            )
