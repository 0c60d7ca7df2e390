"""Forked workers have what the job has, without sending it, and each has a pipe of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading

import numpy as np
import psutil
import pytest

from adaptive_scheduler.executors.worker import WorkerError
from tests.asynchronous import in_a_loop
from tests.executors.opening import evaluator, is_gone
from tests.waiting import wait_until

pytestmark = pytest.mark.system

N_LARGE = 100_000_000


@in_a_loop
async def test_a_function_that_cannot_be_pickled_can_be_evaluated():
    lock = threading.Lock()

    def with_lock(x):
        with lock:
            return x

    with evaluator("process-pool", with_lock, initializer=lock.locked) as e:
        assert await e.at_all(range(5)) == list(range(5))


@in_a_loop
async def test_a_large_array_is_not_held_twice():
    array = np.ones(N_LARGE // 8)

    def own_memory(x):
        assert array[int(x)] == 1
        return psutil.Process().memory_full_info().uss

    with evaluator("process-pool", own_memory) as e:
        assert max(await e.at_all(range(20))) < N_LARGE / 2


# Whose point it was.


@pytest.mark.parametrize("pool", ["process-pool", "loky"])
@in_a_loop
async def test_only_the_point_at_which_a_worker_died_is_charged_with_it(pool, tmp_path):
    path = tmp_path / "evaluated"

    def die_at_zero(x):
        with path.open("a") as file:
            file.write(f"{x}\n")
        if x == 0:
            os.kill(os.getpid(), 9)
        wait_until(lambda: path.read_text().split().count("0") == 3)
        return x

    with evaluator(pool, die_at_zero) as e:
        innocent, guilty = e.submit(1), e.submit(0)
        with pytest.raises(WorkerError, match=r"3 workers died.*at 0"):
            await asyncio.wrap_future(guilty)
        assert await asyncio.wrap_future(innocent) == 1
    assert path.read_text().split().count("1") == 1


# What functions start.


def start_program(with_pipe):
    """Start a program that outlives the evaluation; with a pipe of the worker's, if need be."""
    options = {"close_fds": not with_pipe}
    return subprocess.Popen(["sleep", "1000"], **options).pid


@pytest.mark.parametrize("pool", ["process-pool", "loky"])
@in_a_loop
async def test_programs_that_a_function_has_started_end_with_its_worker(pool):
    with evaluator(pool, start_program, n_workers=1) as e:
        program = psutil.Process(await e.at(False))
        assert not is_gone(program)
        e.executor.close()
    wait_until(lambda: is_gone(program))


@pytest.mark.parametrize("pool", ["process-pool", "loky"])
@in_a_loop
async def test_a_worker_whose_pipe_a_program_holds_is_missed_all_the_same(pool):
    def start_and_die(x):
        if x:
            return start_program(with_pipe=True)
        os.kill(os.getpid(), 9)
        return x

    with evaluator(pool, start_and_die, n_workers=1) as e:
        program = psutil.Process(await e.at(1))
        with pytest.raises(WorkerError, match="3 workers died"):
            await e.at(0)
    wait_until(lambda: is_gone(program))
