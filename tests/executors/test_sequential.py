"""One evaluation at a time, beside the job's event loop."""

from __future__ import annotations

import asyncio
import os
import threading

from tests.asynchronous import in_a_loop
from tests.executors.opening import evaluator
from tests.waiting import PATIENCE


@in_a_loop
async def test_the_loop_goes_on_while_the_function_is_evaluated():
    is_released = threading.Event()

    def wait(x):
        assert is_released.wait(PATIENCE)
        return x, os.getpid()

    with evaluator("sequential", wait) as e:
        evaluation = asyncio.ensure_future(e.at(1))
        asyncio.get_running_loop().call_soon(is_released.set)
        assert await evaluation == (1, os.getpid())


@in_a_loop
async def test_points_are_evaluated_one_after_another_in_order():
    running, order = threading.Semaphore(1), []

    def alone(x):
        assert running.acquire(blocking=False)
        order.append(x)
        running.release()

    with evaluator("sequential", alone, n_workers=8) as e:
        await e.at_all(range(100))
        assert e.executor.n_workers == 1
    assert order == list(range(100))
