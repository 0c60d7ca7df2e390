"""What every executor on one node does, whatever its workers are."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path

import cloudpickle
import numpy as np
import psutil
import pytest

from adaptive_scheduler._common.by_value import dumps
from adaptive_scheduler.executors.worker import FunctionError, WorkerError
from tests.asynchronous import in_a_loop
from tests.executors.opening import EXECUTORS, evaluator, is_gone, users_script
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.system

POOLS = ["process-pool", "loky"]


@pytest.fixture(params=EXECUTORS)
def kind(request):
    return request.param


@pytest.fixture(params=POOLS)
def pool(request):
    return request.param


def square(x):
    return x**2


# What goes there and back.


@in_a_loop
async def test_the_function_is_evaluated_at_many_points(kind):
    with evaluator(kind, square) as e:
        assert await e.at_all(range(50)) == [x**2 for x in range(50)]


@in_a_loop
async def test_lambdas_and_closures_are_functions_too(kind):
    offset = 10
    with evaluator(kind, lambda x: x + offset) as e:
        assert await e.at(1) == 11


SCRIPT = """
import dataclasses, enum

class Site(enum.IntEnum):
    LEFT = 1

class Length(float):
    unit = "nm"

@dataclasses.dataclass(frozen=True)
class Box:
    length: Length
    site: Site

def same(x):
    assert isinstance(x, (Site, Length, Box, tuple, dict))
    return x
"""


@in_a_loop
async def test_points_and_results_may_be_of_the_users_own_classes(kind):
    script = users_script(SCRIPT)
    box = script.Box(script.Length(2.5), script.Site.LEFT)
    points = [script.Site.LEFT, script.Length(1.5), box, (1.0, box), {"a": box}]
    cloudpickle.loads(cloudpickle.dumps(script.same))  # as every learner does on its way to a job
    with evaluator(kind, script.same) as e:
        results = await e.at_all(points)
    assert results == points
    assert [type(result) for result in results] == [type(point) for point in points]
    assert results[1].unit == "nm"


@in_a_loop
async def test_arrays_arrive_as_they_are(kind):
    odd = np.array([{"a": 1}, None], dtype=object)
    points = [np.float64(1.5), np.arange(5), np.ones((200, 200)), odd, np.poly1d([1, 2])]
    with evaluator(kind, lambda x: x) as e:
        for point, result in zip(points, await e.at_all(points), strict=True):
            assert type(result) is type(point)
            assert np.array_equal(result, point)


@in_a_loop
async def test_other_functions_are_refused(kind):
    with evaluator(kind, square) as e:
        for wrong in (
            lambda: e.executor.submit(math.sqrt, 1),
            lambda: e.executor.submit(square),
            lambda: e.executor.submit(square, 1, 2),
            lambda: e.executor.submit(square, x=1),
        ):
            with pytest.raises(TypeError, match="its own function, at one point"):
                wrong()


# What goes wrong.


def unlucky(x):
    if x == 13:
        raise ValueError(f"no luck with {x}")
    return x


@in_a_loop
async def test_an_exception_is_told_with_its_traceback_and_the_point(kind):
    with evaluator(kind, unlucky) as e:
        with pytest.raises(FunctionError) as caught:
            await e.at(13)
        assert str(caught.value) == "ValueError: no luck with 13, raised at 13"
        assert "in unlucky" in caught.value.traceback_text
        assert "worker.py" not in caught.value.traceback_text
        assert await e.at(14) == 14


LINES = "def measure(x):\n    return 1 / x  # but not by zero\n"


@in_a_loop
async def test_a_traceback_has_the_users_file_line_and_source(kind, tmp_path):
    path = tmp_path / "script.py"
    path.write_text(LINES)
    function = pickle.loads(dumps(users_script(LINES, str(path)).measure))
    path.unlink()
    with evaluator(kind, function) as e, pytest.raises(FunctionError) as caught:
        await e.at(0)
    expected = f'"{path}", line 2, in measure\n    return 1 / x  # but not by zero\n'
    assert expected in caught.value.traceback_text


class OddError(Exception):
    def __init__(self, this, that):
        super().__init__(f"{this} and {that}")

    def __reduce__(self):
        raise TypeError("This can't be pickled.")


@in_a_loop
async def test_an_exception_that_cannot_be_pickled_is_told_too(kind):
    def fail(x):
        raise OddError("this", x)

    with evaluator(kind, fail) as e:
        with pytest.raises(FunctionError, match="OddError: this and that, raised at 'that'"):
            await e.at("that")
        with pytest.raises(FunctionError):
            await e.at(1)


#: Any of these would end the job, or leave it waiting for ever.
NO_EXCEPTIONS = [SystemExit, KeyboardInterrupt, StopIteration, asyncio.CancelledError]


@in_a_loop
async def test_whatever_the_function_raises_is_an_error_of_the_function(kind):
    def fail(kind_of_error):
        if kind_of_error is not None:
            raise kind_of_error("the solver gave up")

    with evaluator(kind, fail) as e:
        for kind_of_error in NO_EXCEPTIONS:
            with pytest.raises(
                FunctionError, match=f"{kind_of_error.__name__}: the solver gave up"
            ):
                await e.at(kind_of_error)
            assert await e.at(None) is None


@in_a_loop
async def test_a_point_or_result_that_cannot_travel_is_an_error(pool):
    with evaluator(pool, lambda x: (i for i in range(3)) if x == 1 else x) as e:
        for odd in ((i for i in range(3)), 1):
            with pytest.raises(Exception, match="pickle"):
                await e.at(odd)
            assert await e.at(0) == 0


# Once in each worker.


class Counted:
    """A function that says when it arrives in a process."""

    def __init__(self, path):
        self.path = path

    def __getstate__(self):
        return self.path

    def __setstate__(self, path):
        self.path = path
        with path.open("a") as file:
            file.write(f"{os.getpid()}\n")

    def __call__(self, _):
        return os.getpid()


@in_a_loop
async def test_the_function_travels_once_to_each_worker(kind, tmp_path):
    path = tmp_path / "arrivals"
    path.touch()
    with evaluator(kind, Counted(path)) as e:
        workers = set(await e.at_all(range(50)))
    arrivals = path.read_text().split()
    assert len(arrivals) == len(set(arrivals)) <= 2
    assert kind != "loky" or {int(pid) for pid in arrivals} >= workers


@in_a_loop
async def test_the_initializer_is_called_once_in_each_worker_before_the_first_point(kind, tmp_path):
    path = tmp_path / "calls"

    def prepare():
        with path.open("a") as file:
            file.write(f"{os.getpid()}\n")

    def is_prepared(_):
        return str(os.getpid()) in path.read_text().split()

    with evaluator(kind, is_prepared, initializer=prepare) as e:
        assert all(await e.at_all(range(20)))
    calls = path.read_text().split()
    assert len(calls) == len(set(calls)) <= 2


@pytest.mark.parametrize("error", [ImportError("no solver"), SystemExit("no solver")])
@in_a_loop
async def test_an_error_of_the_initializer_is_told(kind, tmp_path, error):
    path = tmp_path / "calls"

    def prepare():
        with path.open("a") as file:
            file.write(f"{os.getpid()}\n")
        raise error

    with evaluator(kind, square, initializer=prepare) as e:
        for _ in range(3):
            with pytest.raises(WorkerError, match=r"(?s)not be prepared.*no solver") as caught:
                await e.at(1)
            assert "in prepare" in str(caught.value)
    calls = path.read_text().split()
    assert len(calls) == len(set(calls)) <= 2


# Workers that die.


@in_a_loop
async def test_a_point_whose_worker_died_is_evaluated_again(pool, tmp_path):
    marker = tmp_path / "killed"

    def die_once(x):
        if x == 3 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), 9)
        return x

    with evaluator(pool, die_once) as e:
        assert await e.at_all(range(10)) == list(range(10))
    assert marker.exists()


@in_a_loop
async def test_a_point_that_kills_every_worker_is_an_error(pool, tmp_path):
    path = tmp_path / "tries"

    def die(x):
        if x:
            with path.open("a") as file:
                file.write("x")
            os.kill(os.getpid(), 9)
        return x

    with evaluator(pool, die) as e:
        with pytest.raises(WorkerError, match=r"3 workers died.*at 13: out of memory"):
            await e.at(13)
        assert path.read_text() == "xxx"
        assert await e.at(0) == 0


@in_a_loop
async def test_a_worker_that_died_between_two_points_is_replaced(pool):
    with evaluator(pool, lambda x: os.getpid() if x else 0, n_workers=1) as e:
        worker = psutil.Process(await e.at(1))
        worker.kill()
        wait_until(lambda: is_gone(worker))
        assert await e.at(1) != worker.pid


# The end.


async def both_busy(e, folder):
    """Have both workers evaluate for ever; return their processes."""
    futures = [e.submit(folder / name) for name in ("a", "b")]
    await asyncio.to_thread(wait_until, lambda: len(list(folder.glob("?.pid"))) == 2)
    return futures, [psutil.Process(int(p.read_text())) for p in folder.glob("?.pid")]


def evaluate_for_ever(path):
    import threading

    path.with_suffix(".new").write_text(str(os.getpid()))
    path.with_suffix(".new").rename(path.with_suffix(".pid"))
    threading.Event().wait()


@in_a_loop
async def test_closing_ends_all_workers_even_in_the_middle_of_an_evaluation(pool, tmp_path):
    with evaluator(pool, evaluate_for_ever) as e:
        _, workers = await both_busy(e, tmp_path)
        e.executor.close()
        wait_until(lambda: all(map(is_gone, workers)))


@in_a_loop
async def test_closing_ends_no_other_process(pool, tmp_path):
    import multiprocessing

    def wait(connection):
        connection.recv()

    ours, theirs = multiprocessing.Pipe()
    bystander = multiprocessing.get_context("fork").Process(target=wait, args=(theirs,))
    bystander.start()
    with evaluator(pool, square) as e:
        await e.at(1)
    assert bystander.is_alive()
    ours.send("enough")
    bystander.join()
    assert bystander.exitcode == 0


@in_a_loop
async def test_nothing_is_evaluated_after_the_end(kind):
    with evaluator(kind, square) as e:
        await e.at(1)
        e.executor.close()
        e.executor.close()
        assert e.submit(2).cancelled()


@in_a_loop
async def test_points_that_wait_are_cancelled_at_the_end(kind, tmp_path):
    with evaluator(kind, wait_for_file, n_workers=1) as e:
        futures = [e.submit((tmp_path, name)) for name in ("first", "second", "third")]
        await asyncio.to_thread(wait_until, (tmp_path / "first.begun").exists)
        e.executor.close()
        (tmp_path / "go").touch()
        await asyncio.to_thread(wait_until, futures[-1].done)
        assert futures[-1].cancelled()
    assert not (tmp_path / "third.begun").exists()


@in_a_loop
async def test_an_executor_that_was_never_used_can_be_closed(kind):
    with evaluator(kind, square):
        pass


def wait_for_file(x):
    folder, name = x
    (folder / f"{name}.begun").touch()
    wait_until((folder / "go").exists)
    return name


@in_a_loop
async def test_a_point_can_be_cancelled(kind, tmp_path):
    with evaluator(kind, wait_for_file, n_workers=1) as e:
        first, second = e.submit((tmp_path, "first")), e.submit((tmp_path, "second"))
        await asyncio.to_thread(wait_until, (tmp_path / "first.begun").exists)
        assert second.cancel()
        (tmp_path / "go").touch()
        assert await asyncio.wrap_future(first) == "first"
        assert second.cancelled()


JOB = """
import asyncio, json, sys
from pathlib import Path
from tests.executors.opening import evaluator
from tests.executors.test_executors import both_busy, evaluate_for_ever

async def main():
    with evaluator(sys.argv[1], evaluate_for_ever, **json.loads(sys.argv[3])) as e:
        _, workers = await both_busy(e, Path(sys.argv[2]))
        print(*(worker.pid for worker in workers), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("process-pool", {}),
        ("loky", {}),
        ("loky", {"loky_start_method": "spawn"}),
        ("loky", {"loky_start_method": "forkserver"}),
    ],
    ids=str,
)
def test_workers_die_with_their_job(kind, options, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", JOB, kind, str(tmp_path), json.dumps(options)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as job:
        workers = [psutil.Process(int(pid)) for pid in job.stdout.readline().split()]
        assert len(workers) == 2
        job.kill()
    try:
        wait_until(lambda: all(map(is_gone, workers)))
    finally:
        for worker in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()


LARGE = """
import asyncio, sys
from pathlib import Path
from tests.executors.opening import evaluator

def n_read():
    return int(Path("/proc/self/io").read_text().split()[1])

async def main():
    with evaluator(sys.argv[1], lambda n: b"x" * n, n_workers=1) as e:
        await e.at(1)
        before = n_read()
        e.submit(100_000_000)
        while n_read() < before + 5_000_000:
            pass

asyncio.run(main())
print("the end")
"""


def test_a_job_ends_even_if_a_large_result_is_on_its_way(pool):
    ended = subprocess.run(
        [sys.executable, "-c", LARGE, pool],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=ROOT,
        check=True,
    )
    assert ended.stdout == "the end\n"
