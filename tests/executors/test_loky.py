"""Loky's workers start from scratch, in any way that loky knows, and serve all learners."""

from __future__ import annotations

import os
from typing import get_args

import pytest

from adaptive_scheduler.executors.kinds import LOKY_START_METHODS
from tests.asynchronous import in_a_loop
from tests.executors.opening import Evaluator, evaluator, workers_of

pytestmark = pytest.mark.system


@pytest.mark.filterwarnings("ignore:`fork` start method should not be used")
@pytest.mark.parametrize("start_method", get_args(LOKY_START_METHODS))
@in_a_loop
async def test_every_start_method_that_users_may_name_starts_workers(start_method):
    offset = 10

    def shifted(x):
        return x + offset, os.getpid()

    with evaluator("loky", shifted, loky_start_method=start_method) as e:
        results = await e.at_all(range(5))
    assert [y for y, _ in results] == [10, 11, 12, 13, 14]
    assert os.getpid() not in {pid for _, pid in results}


@in_a_loop
async def test_workers_serve_one_learner_after_another():
    workers = workers_of("loky", 1)
    pids = set()
    for factor in range(3):
        e = Evaluator(workers, lambda x, factor=factor: (factor * x, os.getpid()))
        value, pid = await e.at(2)
        assert value == 2 * factor
        pids.add(pid)
        e.executor.close()
    workers.close()
    assert len(pids) == 1
