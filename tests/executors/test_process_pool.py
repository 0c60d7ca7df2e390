"""Forked workers have what the job has, without sending it."""

from __future__ import annotations

import threading

from tests.asynchronous import in_a_loop
from tests.executors.opening import evaluator


@in_a_loop
async def test_a_function_that_cannot_be_pickled_can_be_evaluated():
    lock = threading.Lock()

    def with_lock(x):
        with lock:
            return x

    with evaluator("process-pool", with_lock, initializer=lock.locked) as e:
        assert await e.at_all(range(5)) == list(range(5))
