import gc
import inspect
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import adaptive
import cloudpickle
import loky
import pytest

from adaptive_scheduler.errors import DataFileError, InvalidInputError, UnpicklableError
from adaptive_scheduler.learners.wrapped import WrappedFunction

MODES = ["memory", "random_id", "file"]
TIMEOUT = 60


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Have temporary files where the test can see them."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture(params=["fork", "spawn", "loky"])
def new_pool(request):
    def make():
        if request.param == "loky":
            return loky.ProcessPoolExecutor(1)
        return ProcessPoolExecutor(1, multiprocessing.get_context(request.param))

    return make


def adder(big=b""):
    """Make a function that only cloudpickle can pickle."""

    def add(x, y=10):
        return x + y + len(big)

    return add


def run_python(code, stdin):
    """Run `code` in a process that is no relative of this one, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], input=stdin, capture_output=True, check=True, timeout=TIMEOUT
    )
    return done.stdout.decode().split()


CALL_IT = "import pickle, sys; print(pickle.load(sys.stdin.buffer)(1, y=2))"


@pytest.mark.parametrize("mode", MODES)
def test_it_is_called_like_the_function(mode):
    wrapped = WrappedFunction(adder(), mode=mode)
    assert (wrapped(1), wrapped(1, 2), wrapped(x=1, y=2)) == (11, 3, 3)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("library", [pickle, cloudpickle])
def test_it_can_be_pickled_and_pickled_again(mode, library):
    wrapped = WrappedFunction(adder(), mode=mode)
    copy = library.loads(library.dumps(library.loads(library.dumps(wrapped))))
    assert copy(1) == 11
    assert repr(copy) == repr(wrapped) == f"WrappedFunction(add, mode={mode!r})"


@pytest.mark.system
@pytest.mark.parametrize("mode", MODES)
def test_it_works_in_a_worker_however_that_was_started(mode, new_pool):
    with new_pool() as pool:
        before = WrappedFunction(adder(), mode=mode)
        results = [pool.submit(before, x) for x in range(3)]
        # This one the workers can't have inherited, for they are running by now.
        after = WrappedFunction(adder(), mode=mode)
        results += [pool.submit(after, x) for x in range(3)]
        assert [r.result(TIMEOUT) for r in results] == [10, 11, 12, 10, 11, 12]


@pytest.mark.system
@pytest.mark.parametrize("mode", MODES)
def test_it_works_in_a_process_that_is_no_relative(mode):
    wrapped = WrappedFunction(adder(), mode=mode)
    assert run_python(CALL_IT, pickle.dumps(wrapped)) == ["3"]


@pytest.mark.parametrize("mode", ["random_id", "file"])
def test_a_big_function_is_sent_as_a_small_ticket(mode):
    wrapped = WrappedFunction(adder(bytes(1_000_000)), mode=mode)
    assert len(pickle.dumps(wrapped)) < 1_000
    assert wrapped(1) == 1_000_011


@pytest.mark.system
@pytest.mark.parametrize("mode", MODES)
def test_a_process_loads_it_once(mode, temporary):
    class Noisy:
        def __call__(self):
            return os.getpid()

        def __setstate__(self, state):
            with (Path(state["log"]) / "loaded").open("a") as file:
                file.write(f"{os.getpid()}\n")

    noisy = Noisy()
    noisy.log = str(temporary)
    ticket = pickle.dumps(WrappedFunction(noisy, mode=mode))
    alive = WrappedFunction(noisy, mode=mode)  # What is here already is not loaded at all.
    assert pickle.loads(pickle.dumps(alive)).function is noisy
    code = (
        "import pickle, sys; ticket = sys.stdin.buffer.read();"
        "print(*{pickle.loads(ticket)() for _ in range(3)})"
    )
    (pid,) = run_python(code, ticket)
    assert (temporary / "loaded").read_text().split() == [pid]


@pytest.mark.system
def test_what_a_forked_worker_has_inherited_is_not_read(temporary):
    wrapped = WrappedFunction(adder(), mode="file")
    (file,) = temporary.iterdir()
    file.write_bytes(b"nonsense")
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        assert pool.submit(wrapped, 1).result(TIMEOUT) == 11


def test_only_the_file_mode_writes_before_it_has_to(temporary):
    wrapped = [WrappedFunction(adder(), mode=mode) for mode in MODES]
    assert len(list(temporary.iterdir())) == 1
    assert [w(1) for w in wrapped] == [11, 11, 11]
    assert len(list(temporary.iterdir())) == 1
    for _ in range(3):
        pickle.dumps(wrapped)
    assert len(list(temporary.iterdir())) == 2


def test_the_file_is_for_the_user_only(temporary):
    WrappedFunction(adder(), mode="file")
    (file,) = temporary.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.system
@pytest.mark.parametrize("mode", MODES)
def test_no_file_is_left_when_the_process_ends(mode, temporary):
    code = f"""
import pickle, tempfile
from concurrent.futures import ProcessPoolExecutor
from adaptive_scheduler.learners.wrapped import WrappedFunction
tempfile.tempdir = {str(temporary)!r}
wrapped = WrappedFunction(len, mode={mode!r})
with ProcessPoolExecutor(1) as pool:
    print(pool.submit(wrapped, "abc").result(), pool.submit(WrappedFunction(wrapped), "a").result())
pickle.loads(pickle.dumps(WrappedFunction(len, mode={mode!r})))("abcd")
"""
    assert run_python(code, b"") == ["3", "1"]
    assert list(temporary.iterdir()) == []


@pytest.mark.system
def test_a_worker_that_ends_does_not_take_the_file_along(temporary):
    wrapped = WrappedFunction(adder(), mode="file")
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        pool.submit(wrapped, 1).result(TIMEOUT)
    assert len(list(temporary.iterdir())) == 1


@pytest.mark.system
def test_the_file_can_be_where_other_hosts_see_it(temporary, tmp_path_factory):
    shared = tmp_path_factory.mktemp("shared")
    wrapped = WrappedFunction(adder(), mode="file", folder=shared)
    assert len(list(shared.iterdir())) == 1
    assert list(temporary.iterdir()) == []
    assert run_python(CALL_IT, pickle.dumps(wrapped)) == ["3"]


def test_a_ticket_without_its_file_says_what_to_do_when_it_is_used(temporary):
    ticket = pickle.dumps(WrappedFunction(adder(), mode="file"))
    for file in temporary.iterdir():
        file.unlink()
    copy = pickle.loads(ticket)
    with pytest.raises(DataFileError, match=r"add.*mode='memory'"):
        copy(1)


@pytest.mark.parametrize("mode", MODES)
def test_a_function_that_cannot_be_pickled_is_named(mode):
    lock = threading.Lock()

    def locked():
        return lock.locked()

    with pytest.raises(UnpicklableError, match=r"locked.*pickle"):
        pickle.dumps(WrappedFunction(locked, mode=mode))


def test_the_known_modes_are_listed_when_one_is_unknown():
    with pytest.raises(InvalidInputError, match=r"'disk'.*'memory', 'random_id', 'file'"):
        WrappedFunction(adder(), mode="disk")


def test_the_signature_is_that_of_the_function():
    copy = pickle.loads(pickle.dumps(WrappedFunction(adder(), mode="memory")))
    assert str(inspect.signature(copy)) == "(x, y=10)"
    with pytest.raises(AttributeError, match="nonsense"):
        _ = copy.nonsense


def test_a_learner_keeps_its_function_and_the_defaults_in_its_dataframe():
    learner = adaptive.SequenceLearner(WrappedFunction(adder()), [1, 2])
    learner = cloudpickle.loads(cloudpickle.dumps(learner))
    adaptive.runner.simple(learner)
    assert dict(learner.data) == {0: 11, 1: 12}
    assert learner.to_dataframe()["function.y"].tolist() == [10, 10]


def test_a_callable_object_that_is_false_is_loaded_once():
    class Empty:
        def __len__(self):
            return 0

        def __call__(self):
            return id(self)

    ticket = pickle.dumps(WrappedFunction(Empty(), mode="memory"))
    first, second = pickle.loads(ticket), pickle.loads(ticket)
    assert first() == second()


def test_a_file_that_another_user_can_write_is_not_read(temporary):
    ticket = pickle.dumps(wrapped := WrappedFunction(adder(), mode="file"))
    (path,) = temporary.iterdir()
    path.chmod(0o622)
    del wrapped  # as in a process that has not wrapped it
    gc.collect()
    copy = pickle.loads(ticket)
    with pytest.raises(DataFileError, match=r"can't be loaded: .*writable by others"):
        copy(1)
