"""`SlurmExecutor` with real jobs keeps the contract of `concurrent.futures`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
from pathlib import Path

import pytest

from adaptive_scheduler import SlurmExecutor
from adaptive_scheduler.errors import MaxRestartsReachedError
from adaptive_scheduler.scheduler import SLURM, Local
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import wait_for_empty_queue
from tests.waiting import PATIENCE, wait_until


@pytest.fixture
def make_executor():
    """Return a function that makes executors, whose calls are over when the test is."""
    executors = []

    def make(*, cores=1, max_cores=1, scheduler=None, **keywords):
        executor = SlurmExecutor(
            scheduler=scheduler or Local(cores, max_cores=max_cores),
            **{"save_interval": 0.2, "job_manager_interval": 1, **keywords},
        )
        executors.append(executor)
        return executor

    yield make
    for executor in executors:
        executor.shutdown(wait=False, cancel_futures=True)
        for run in executor.run_managers:
            run.cancel()


def square(x, *, plus=0):
    return x**2 + plus


def inverse(x):
    return 1 / x


def wait_for(path):
    """Wait until there is such a file; return its name."""
    wait_until(Path(path).exists)
    return Path(path).name


def test_results_and_exceptions_arrive_and_one_that_raises_stops_no_other(make_executor):
    with make_executor(cores=2, max_cores=2) as executor:
        results = executor.map(inverse, [1, 2, 4], timeout=PATIENCE)
        failing = executor.submit(inverse, 0)
        with_keywords = executor.submit(square, 3, plus=1)
        assert list(results) == [1.0, 0.5, 0.25]
    assert with_keywords.result() == 10  # leaving the block has waited
    assert failing.done()
    assert isinstance(failing.exception(), ZeroDivisionError)
    with pytest.raises(ZeroDivisionError) as raised:
        failing.result()
    assert "return 1 / x" in str(raised.value.__cause__)
    assert len(executor.run_managers) <= 2
    assert executor.folder.exists()
    executor.cleanup()
    assert not executor.folder.exists()
    assert with_keywords.result() == 10


def test_a_result_arrives_before_the_others_of_its_job(make_executor, gate):
    executor = make_executor(size_per_learner=2)
    first = executor.submit(square, 2)
    last = executor.submit(wait_for, gate)
    assert first.result(PATIENCE) == 4
    assert not last.done()
    assert last.running()
    assert not last.cancel()
    with pytest.raises(TimeoutError):
        last.result(timeout=0)
    gate.touch()
    assert last.result(PATIENCE) == "gate"
    executor.shutdown()


def test_calls_are_waited_for_as_those_of_any_executor(make_executor, here):
    executor = make_executor(max_cores=2, size_per_learner=1)
    barriers = [here / name for name in "ab"]
    slow = [executor.submit(wait_for, path) for path in barriers]
    barriers[1].touch()
    done, left = concurrent.futures.wait(
        slow, PATIENCE, return_when=concurrent.futures.FIRST_COMPLETED
    )
    assert (done, left) == ({slow[1]}, {slow[0]})
    barriers[0].touch()
    finished = [f.result() for f in concurrent.futures.as_completed(slow, PATIENCE)]
    assert sorted(finished) == ["a", "b"]
    executor.shutdown()


def test_calls_can_be_awaited(make_executor):
    async def program(executor):
        tasks = [executor.submit(square, x) for x in range(3)]
        failing = executor.submit(inverse, 0)
        assert await asyncio.gather(*tasks) == [0, 1, 4]
        with pytest.raises(ZeroDivisionError):
            await failing

    with make_executor() as executor:
        asyncio.run(asyncio.wait_for(program(executor), PATIENCE))


def test_a_call_that_no_job_has_can_be_cancelled_and_is_never_made(make_executor, gate, ledger):
    executor = make_executor(size_per_learner=1)
    noted = [Noted(ledger.path, learner, free=0, gate=gate) for learner in range(2)]
    tasks = [executor.submit(function, 3) for function in noted]
    running = wait_until(lambda: next((task for task in tasks if task.running()), None))
    (waiting,) = {*tasks} - {running}
    assert waiting.cancel()
    assert not running.cancel()
    assert concurrent.futures.wait([waiting], timeout=0).done == {waiting}
    (run,) = executor.run_managers
    unwanted = tasks.index(waiting)
    wait_until(lambda: run.database_manager.as_dicts()[unwanted]["state"] == "cancelled")
    gate.touch()
    assert running.result(PATIENCE) == 9
    executor.shutdown()
    assert ledger.begun(unwanted) == []


def test_jobs_of_calls_that_are_all_cancelled_are_cancelled(make_executor, gate):
    busy = make_executor(name="busy")
    blocking = busy.submit(wait_for, gate)
    wait_until(blocking.running)
    executor = make_executor(name="idle")
    tasks = [executor.submit(square, x) for x in range(3)]
    run = executor.finalize()
    wait_until(lambda: run.info("data").jobs_pending > 0)
    executor.shutdown(cancel_futures=True)
    assert all(task.cancelled() for task in tasks)
    assert run.status() == "cancelled"
    gate.touch()
    assert blocking.result(PATIENCE) == "gate"
    busy.shutdown()
    wait_for_empty_queue()


def test_calls_of_a_run_that_is_cancelled_are_cancelled(make_executor, gate):
    executor = make_executor(size_per_learner=1)
    tasks = [executor.submit(wait_for, gate) for _ in range(2)]
    wait_until(lambda: any(task.running() for task in tasks))
    executor.run_managers[0].cancel()
    for task in tasks:
        with pytest.raises(concurrent.futures.CancelledError):
            task.result(PATIENCE)
    executor.shutdown()


def test_a_call_that_kills_its_worker_fails_and_no_other_does(make_executor):
    executor = make_executor(size_per_learner=1, max_fails_per_job=1)
    killing, good = executor.submit(os._exit, 1), executor.submit(square, 3)
    assert good.result(PATIENCE) == 9
    with pytest.raises(MaxRestartsReachedError, match="size_per_learner"):
        killing.result(PATIENCE)
    executor.shutdown()


def test_calls_are_made_on_a_slurm_cluster(slurm, make_executor):
    scheduler = SLURM(cores=2)
    scheduler.min_poll_interval = 0.5
    with make_executor(scheduler=scheduler, size_per_learner=4) as executor:
        results = executor.map(square, range(8), timeout=PATIENCE)
        failing = executor.submit(inverse, 0)
        assert list(results) == [x**2 for x in range(8)]
    assert isinstance(failing.exception(), ZeroDivisionError)
