"""Runs that begin one after another."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.run_folder.checks import check_interval
from adaptive_scheduler.server_support.event_loop import event_loop

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.run_manager import RunManager


def start_one_by_one(
    *run_managers: RunManager,
    goal: Callable[[RunManager], bool] | None = None,
    interval: float = 120,
) -> tuple[concurrent.futures.Future[None], list[concurrent.futures.Future[None]]]:
    """Start runs one after another.

    Parameters
    ----------
    *run_managers
        The runs, in their order. None of them may have been started.
    goal
        A function of a run that says whether the next may begin; by default
        that is when the run is over. A run that is over lets the next begin
        in any case.
    interval
        Seconds between two calls of `goal`.

    Returns
    -------
    future, futures
        A future that resolves when the last run has begun, and one for each
        run that resolves when that has begun. Cancelling the first keeps
        further runs from beginning.

    Raises
    ------
    InvalidInputError
        If there are no runs, one of them has been started, or two have the same
        run folder.
    """
    check_interval("interval", interval)
    _check_runs(run_managers)
    begun: list[concurrent.futures.Future[None]] = [
        concurrent.futures.Future() for _ in run_managers
    ]

    async def start_all() -> None:
        for index, (run_manager, future) in enumerate(zip(run_managers, begun, strict=True)):
            if index > 0:
                await _wait_for_turn(run_managers[index - 1], goal, interval)
            await asyncio.to_thread(run_manager.start)
            future.set_result(None)

    return event_loop.submit(start_all()), begun


def _check_runs(run_managers: Sequence[RunManager]) -> None:
    from adaptive_scheduler.server_support.run_manager import RunManager

    if not run_managers:
        raise InvalidInputError("There are no runs to start.")
    folders: set[Path] = set()
    for run in run_managers:
        if not isinstance(run, RunManager):
            raise InvalidInputError(
                f"start_one_by_one(first, second, ...) takes runs, not a {type(run).__name__}."
            )
        if run.is_started:
            raise InvalidInputError(f"Run '{run.job_name}' has been started before.")
        if run.run_folder.root in folders:
            raise InvalidInputError(
                f"Two of the runs have the run folder '{run.run_folder.root}': give each a "
                "`job_name` or `folder` of its own."
            )
        folders.add(run.run_folder.root)


async def _wait_for_turn(
    previous: RunManager, goal: Callable[[RunManager], bool] | None, interval: float
) -> None:
    """Wait until the run after `previous` may begin."""
    over = asyncio.ensure_future(previous.ended())
    try:
        while not over.done():
            if goal is not None and await asyncio.to_thread(goal, previous):
                return
            await asyncio.wait([over], timeout=None if goal is None else interval)
    finally:
        over.cancel()
