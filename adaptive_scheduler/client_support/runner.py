"""`adaptive.Runner`, started in a job."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from adaptive import AsyncRunner, BaseLearner

    from adaptive_scheduler.executors.base import FunctionExecutor


def start_runner(
    learner: BaseLearner,
    goal: Callable[[BaseLearner], bool],
    executor: FunctionExecutor,
    runner_kwargs: Mapping[str, Any],
) -> AsyncRunner:
    """Start to learn on the running event loop."""
    from adaptive import AsyncRunner

    options = {"ntasks": executor.n_workers, **runner_kwargs}
    with _no_foreign_clients():
        return AsyncRunner(learner, goal=goal, executor=executor, **options)


async def stop_runner(runner: AsyncRunner) -> None:
    """Stop a runner, if it still runs, and tell its learner what has come in meanwhile."""
    runner.cancel()
    await asyncio.wait([runner.task])  # whoever watches the task has its exception
    for future, point in list(runner.pending_points):
        if future.done() and not future.cancelled() and future.exception() is None:
            runner.learner.tell(point, future.result())


@contextlib.contextmanager
def _no_foreign_clients() -> Iterator[None]:
    """Keep adaptive from importing packages only to see that an executor is not theirs.

    Importing ipyparallel and distributed takes a job a second, and the
    executor is ours.
    """
    with (
        mock.patch("adaptive.runner.with_ipyparallel", new=False),
        mock.patch("adaptive.runner.with_distributed", new=False),
    ):
        yield
