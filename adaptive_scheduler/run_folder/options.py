"""The keywords of `RunManager` and its kin, for type checkers.

What they mean, and what their defaults are, says `RunSpec`; a test holds both equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from adaptive_scheduler.executors.kinds import LOKY_START_METHODS
from adaptive_scheduler.learners.dataframes import _DATAFRAME_FORMATS
from adaptive_scheduler.learners.goals import GoalTypes


class JobManagerOptions(TypedDict, total=False):
    """Keywords of `JobManager`."""

    goal: GoalTypes
    runner_kwargs: Mapping[str, Any] | None
    save_interval: float
    log_interval: float
    loky_start_method: LOKY_START_METHODS
    save_dataframe: bool
    dataframe_format: _DATAFRAME_FORMATS
    max_fails_per_job: int
    max_simultaneous_jobs: int


class KillManagerOptions(TypedDict, total=False):
    """Keywords of `KillManager`."""

    error: str | Callable[[list[str]], bool] | None
    interval: float
    max_cancel_tries: int
    move_to: str | Path | None


class ExecutorOptions(JobManagerOptions, total=False):
    """Keywords that `SlurmExecutor` passes on to its runs."""

    check_goal_on_start: bool
    url: str | None
    job_manager_interval: float
    kill_interval: float
    kill_on_error: str | Callable[[list[str]], bool] | None
    overwrite_db: bool
    job_manager_kwargs: Mapping[str, Any] | None
    kill_manager_kwargs: Mapping[str, Any] | None
    cleanup_first: bool
    max_log_lines: int
    quiet: bool


class SlurmRunOptions(ExecutorOptions, total=False):
    """Keywords that `slurm_run` passes on to its run."""

    dependencies: Mapping[int, Sequence[int]] | None
    initializers: Sequence[Callable[[], None]] | None


class RunOptions(SlurmRunOptions, total=False):
    """Keywords of `RunManager`."""

    job_name: str
    folder: str | Path | None
    db_fname: str | Path | None
    move_old_logs_to: str | Path | None
