"""Workers leave signals to their job; what they start does not."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess

import pytest

from adaptive_scheduler.executors.worker import ByValue, FunctionError, portable
from tests.asynchronous import in_a_loop
from tests.executors.opening import evaluator, users_script
from tests.waiting import PATIENCE

pytestmark = pytest.mark.system

POOLS = ["process-pool", "loky"]
#: What schedulers and users send to all processes of a job.
SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2]


@pytest.fixture(params=POOLS)
def pool(request):
    return request.param


@in_a_loop
async def test_signals_that_announce_the_end_do_not_end_workers(pool):
    with evaluator(pool, lambda _: os.getpid(), n_workers=1) as e:
        worker = await e.at(0)
        for number in SIGNALS:
            os.kill(worker, number)
            assert await e.at(0) == worker


def signal_oneself_while_reading(number):
    command = f"kill -{number} $PPID; echo and on"
    with subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE) as program:
        return os.read(program.stdout.fileno(), 100)


@in_a_loop
async def test_a_signal_does_not_disturb_an_evaluation(pool):
    with evaluator(pool, signal_oneself_while_reading) as e:
        assert await e.at_all(map(int, SIGNALS)) == [b"and on\n"] * len(SIGNALS)


def terminate_a_program(_):
    program = subprocess.Popen(["sleep", "1000"])
    program.terminate()
    try:
        return program.wait(PATIENCE)
    finally:
        program.kill()


@in_a_loop
async def test_a_program_that_the_function_starts_can_be_terminated(pool):
    with evaluator(pool, terminate_a_program) as e:
        assert await e.at(0) == -signal.SIGTERM


def terminate_a_process(_):
    process = multiprocessing.get_context("fork").Process(target=signal.pause)
    process.start()
    process.terminate()
    process.join(PATIENCE)
    try:
        return process.exitcode
    finally:
        process.kill()


@in_a_loop
async def test_a_process_that_the_function_forks_can_be_terminated(pool):
    with evaluator(pool, terminate_a_process) as e:
        assert await e.at(0) == -signal.SIGTERM


def sum_of_squares(n):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return sum(pool.map(abs, range(n)))


@in_a_loop
async def test_the_function_may_use_multiprocessing(pool):
    with evaluator(pool, sum_of_squares) as e:
        assert await e.at(5) == 10


# What travels how.


@pytest.mark.parametrize("value", [1, 1.5, 2j, True, None, "a", b"a", (1, (2.0, "x"))])
def test_plain_values_need_no_detour(value):
    assert portable(value) is value


def test_what_is_no_plain_value_travels_by_value():
    script = users_script("class Name(str): pass")
    for value in (script.Name("a"), [1, 2], (1, script.Name("b"))):
        carried = portable(value)
        assert isinstance(carried, ByValue)
        assert pickle.loads(pickle.dumps(carried)) == value


def test_an_error_of_the_function_arrives_as_it_left():
    error = FunctionError("ValueError: no, raised at 3", "Traceback ...")
    arrived = pickle.loads(pickle.dumps(error))
    assert str(arrived) == "ValueError: no, raised at 3"
    assert arrived.traceback_text == "Traceback ..."
