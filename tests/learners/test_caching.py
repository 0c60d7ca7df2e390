import inspect
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cloudpickle
import loky
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.errors import DataFileError, InvalidInputError, UnpicklableError
from adaptive_scheduler.learners.caching import LRUCachedCallable, shared_memory_cache

TIMEOUT = 60


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Have temporary files where the test can see them, in workers too."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture(params=["fork", "spawn", "loky"])
def new_pool(request):
    def make():
        if request.param == "loky":
            return loky.ProcessPoolExecutor(2)
        return ProcessPoolExecutor(2, multiprocessing.get_context(request.param))

    return make


def function_with_a_log(path):
    """Make a function, and one that lists the arguments of its calls in all processes."""

    def f(x, y=1, *more, **options):
        with Path(path).open("a") as file:
            file.write(f"{x}\n")
        return x, y, more, options

    def calls():
        return Path(path).read_text().split() if Path(path).exists() else []

    return f, calls


@pytest.fixture
def logged(tmp_path):
    return function_with_a_log(str(tmp_path / "calls"))


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_result_is_remembered(logged):
    f, calls = logged
    cached = LRUCachedCallable(f)
    assert cached(1) == cached(1) == f(1)
    assert calls() == ["1", "1"]  # Once by `cached` and once by the test.


def test_it_does_not_matter_how_arguments_are_passed(logged):
    f, calls = logged
    cached = LRUCachedCallable(f)
    results = [cached(1), cached(1, 1), cached(1, y=1), cached(y=1, x=1)]
    results += [cached(1, 1, a=1, b=2), cached(1, 1, b=2, a=1)]
    assert results[0] == results[3]
    assert results[4] == results[5]
    assert len(calls()) == 2


@pytest.mark.parametrize("other", [True, 1.0, "1", np.float64(1), (1,), None])
def test_arguments_of_other_types_are_others(other):
    cached = LRUCachedCallable(lambda x: type(x).__name__)
    assert cached(1) == "int"
    assert cached(other) == type(other).__name__


def test_arrays_that_look_alike_when_printed_are_told_apart():
    cached = LRUCachedCallable(lambda array: int(array.min()))
    zeros = np.zeros(10_000)
    dip = zeros.copy()
    dip[5_000] = -1
    assert str(zeros) == str(dip)
    assert (cached(zeros), cached(dip)) == (0, -1)


def test_none_is_remembered_and_an_error_is_not(tmp_path):
    log = tmp_path / "log"

    def fail_first(x):
        with log.open("a") as file:
            file.write("called\n")
        if log.read_text().count("called") == 1:
            raise ValueError(x)

    cached = LRUCachedCallable(fail_first)
    with pytest.raises(ValueError, match="7"):
        cached(7)
    assert cached(7) is None
    assert cached(7) is None
    assert log.read_text().count("called") == 2


def test_changing_a_result_does_not_change_what_is_remembered():
    cached = LRUCachedCallable(lambda: [1])
    cached().append(2)
    cached().append(3)
    assert cached() == [1]


def test_what_was_not_asked_for_the_longest_is_forgotten_first(logged):
    f, calls = logged
    cached = LRUCachedCallable(f, max_size=2)
    for x in [1, 2, 1, 3]:
        cached(x)
    assert calls() == ["1", "2", "3"]
    cached(1)
    cached(3)
    assert calls() == ["1", "2", "3"]
    cached(2)
    assert calls() == ["1", "2", "3", "2"]


@given(st.lists(st.integers(0, 5)), st.integers(1, 4))
def test_it_remembers_what_an_ideal_cache_would(xs, max_size):
    calls = []
    cached = LRUCachedCallable(calls.append, max_size=max_size)
    ideal, ideal_calls = [], []
    for x in xs:
        cached(x)
        if x in ideal:
            ideal.remove(x)
        else:
            ideal_calls.append(x)
        ideal = [*ideal, x][-max_size:]
    assert calls == ideal_calls
    assert len(cached.cache_dict) == len(ideal)


def test_one_can_look_at_what_is_remembered():
    cached = LRUCachedCallable(lambda x: x, max_size=3)
    for x in [1, 2, 3, 4, 2]:
        cached(x)
    assert list(cached.cache_dict.values()) == [3, 4, 2]


def test_nothing_can_be_remembered(logged, temporary):
    f, calls = logged
    cached = LRUCachedCallable(f, max_size=0)
    cached(1)
    cached(1)
    assert calls() == ["1", "1"]
    assert files(temporary) == []


def test_less_than_nothing_cannot():
    with pytest.raises(InvalidInputError, match="-1"):
        LRUCachedCallable(abs, max_size=-1)


def test_a_wrong_call_fails_as_that_of_the_function_does():
    cached = LRUCachedCallable(lambda x: x)
    with pytest.raises(TypeError, match="positional argument"):
        cached(1, 2)


def test_a_builtin_without_a_signature_is_cached():
    cached = LRUCachedCallable(dict)
    assert cached([("a", 1)], b=2) == {"a": 1, "b": 2}
    assert len(cached.cache_dict) == 1


def test_arguments_that_cannot_be_pickled_go_to_the_function():
    lock = threading.Lock()
    assert LRUCachedCallable(lambda x: x)(lock) is lock


def test_a_lambda_is_an_argument_like_others(logged):
    f, calls = logged
    cached = LRUCachedCallable(lambda function: f(function(1)))
    shift = lambda x: x + 1
    assert cached(shift) == cached(shift)
    assert calls() == ["2"]


def test_results_that_pickle_cannot_store_need_cloudpickle():
    def make():
        return lambda: 5

    with pytest.raises(UnpicklableError, match="with_cloudpickle=True"):
        LRUCachedCallable(make)()
    cached = LRUCachedCallable(make, with_cloudpickle=True)
    assert cached()() == cached()() == 5


def test_results_that_nothing_can_store_are_an_error():
    with pytest.raises(UnpicklableError, match="lock"):
        LRUCachedCallable(threading.Lock, with_cloudpickle=True)()


def test_the_decorated_function_looks_like_itself():
    @shared_memory_cache(cache_size=7)
    def area(width, height=2):
        """Multiply."""
        return width * height

    assert (area.__name__, area.__doc__, area.max_size) == ("area", "Multiply.", 7)
    assert str(inspect.signature(area)) == "(width, height=2)"
    assert area.__wrapped__ is area.function
    assert area(3) == 6


@pytest.mark.system
def test_workers_share_results_with_each_other_and_with_their_parent(new_pool):
    cached = LRUCachedCallable(lambda x: (x, os.getpid()))
    with new_pool() as pool:
        first = pool.submit(cached, 1).result(TIMEOUT)
        again = [pool.submit(cached, 1) for _ in range(8)]
        assert {result.result(TIMEOUT) for result in again} == {first}
        mine = cached(2)
        assert pool.submit(cached, 2).result(TIMEOUT) == mine == (2, os.getpid())
    assert cached(1) == first
    assert first[1] != os.getpid()


@pytest.mark.parametrize("library", [pickle, cloudpickle])
def test_copies_share_results(library, logged):
    f, calls = logged
    cached = LRUCachedCallable(f, max_size=3)
    copy = library.loads(library.dumps(cached))
    assert copy(1) == cached(1) == library.loads(library.dumps(copy))(1)
    assert calls() == ["1"]
    assert copy.max_size == 3
    assert copy.__name__ == "f"


def test_a_recursive_function_can_be_pickled(tmp_path):
    @shared_memory_cache()
    def fibonacci(n):
        with Path(tmp_path / "calls").open("a") as file:
            file.write(f"{n}\n")
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    copy = pickle.loads(pickle.dumps(fibonacci))
    assert copy(30) == 832040
    assert len((tmp_path / "calls").read_text().split()) == 31


@pytest.mark.system
def test_a_decorated_function_of_a_module_can_be_sent_to_workers(tmp_path, monkeypatch):
    (tmp_path / "my_model.py").write_text(
        "from adaptive_scheduler.learners.caching import shared_memory_cache\n"
        "@shared_memory_cache()\n"
        "def f(n):\n"
        "    return 1 if n == 0 else n * f(n - 1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from my_model import f

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(f, 5).result(TIMEOUT) == 120
    assert len(f.cache_dict) == 6


@pytest.mark.system
def test_in_a_process_that_is_no_relative_it_makes_a_place_of_its_own(temporary):
    def twice(x):
        return 2 * x, os.getpid()

    ticket = pickle.dumps(LRUCachedCallable(twice))  # Which is gone by now, with its folder.
    assert list(temporary.iterdir()) == []
    code = (
        "import pickle, sys; ticket = sys.stdin.buffer.read();"
        "print(len({pickle.loads(ticket)(2) for _ in range(3)}),"
        "len(pickle.loads(ticket).cache_dict))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=ticket, capture_output=True, check=True, timeout=TIMEOUT
    )
    assert done.stdout.split() == [b"1", b"1"]
    assert list(temporary.iterdir()) == []


def test_the_files_go_with_the_function(temporary):
    cached = LRUCachedCallable(abs)
    cached(-1)
    assert len(files(temporary)) == 1
    del cached
    assert list(temporary.iterdir()) == []


@pytest.mark.system
def test_a_worker_that_ends_does_not_take_the_files_along(temporary):
    cached = LRUCachedCallable(abs)
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        pool.submit(cached, -1).result(TIMEOUT)
    assert len(files(temporary)) == 1


def test_the_files_are_for_the_user_only(temporary):
    cached = LRUCachedCallable(abs)
    (folder,) = temporary.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert cached(-1) == 1


def test_without_a_place_for_files_the_function_is_called_each_time(logged, temporary):
    f, calls = logged
    cached = LRUCachedCallable(f)
    (folder,) = temporary.iterdir()
    folder.rmdir()
    assert cached(1) == cached(1)
    assert calls() == ["1", "1"]
    assert cached.cache_dict == {}


def test_a_folder_of_another_user_is_not_used(temporary):
    ticket = pickle.dumps(cached := LRUCachedCallable(abs))
    (folder,) = temporary.iterdir()
    folder.chmod(0o770)
    with pytest.raises(DataFileError, match="Somebody else"):
        pickle.loads(ticket)
    folder.rmdir()
    folder.symlink_to(temporary)
    with pytest.raises(DataFileError, match="Somebody else"):
        pickle.loads(ticket)
    assert cached(-1) == 1


def test_a_result_that_another_user_may_have_written_is_not_unpickled(logged, temporary):
    f, calls = logged
    cached = LRUCachedCallable(f)
    before = os.umask(0)
    try:
        cached(1)
    finally:
        os.umask(before)
    assert cached(1)
    assert calls() == ["1"]
    (result,) = files(temporary)
    result.chmod(0o622)
    assert cached(1)
    assert calls() == ["1", "1"]
    (result,) = files(temporary)
    assert result.stat().st_mode & 0o777 == 0o600
