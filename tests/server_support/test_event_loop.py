"""The one event loop: reachable from everywhere, deaf to nobody, in nobody's way at the end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from adaptive_scheduler.server_support.event_loop import EventLoop
from tests.waiting import PATIENCE

FOLDER = Path("/runs/sweep-run")


@pytest.fixture
def event_loop():
    event_loop = EventLoop()
    yield event_loop
    event_loop._runs.clear()  # else they would be told at the end of pytest
    event_loop.loop.call_soon_threadsafe(event_loop.loop.stop)


async def thread_name():
    return threading.current_thread().name


async def fail():
    raise ValueError("no")


def run_script(text, status=0):
    """Run a script in a process of its own, and return what it said."""
    head = (
        "import asyncio, os, threading, time\n"
        "from pathlib import Path\n"
        "from adaptive_scheduler.server_support.event_loop import event_loop\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", head + text],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stderr == ("no\n" if status else "")
    assert done.returncode == status
    return done.stdout.split("\n")[:-1]


# From anywhere.


def test_a_plain_script_waits_for_results(event_loop):
    assert event_loop.run(thread_name()) == "adaptive-scheduler"
    assert event_loop.call(lambda: threading.current_thread().name) == "adaptive-scheduler"
    assert event_loop.call(divmod, 7, 2) == (3, 1)


def test_errors_reach_whoever_waits(event_loop):
    with pytest.raises(ValueError, match="no"):
        event_loop.run(fail())
    with pytest.raises(ZeroDivisionError):
        event_loop.call(divmod, 7, 0)
    assert event_loop.run(thread_name())


def test_nobody_has_to_wait(event_loop):
    is_released = threading.Event()
    future = event_loop.submit(asyncio.to_thread(is_released.wait, PATIENCE))
    assert not future.done()
    is_released.set()
    assert future.result(PATIENCE)


def test_a_program_with_a_loop_of_its_own_can_use_it(event_loop):
    async def program():
        own = asyncio.get_running_loop()
        assert event_loop.loop is not own
        assert event_loop.call(lambda: 1) == 1
        return await asyncio.wrap_future(event_loop.submit(thread_name()))

    assert asyncio.run(program()) == "adaptive-scheduler"


def test_all_threads_share_one_loop(event_loop):
    n_threads = 20
    all_there = threading.Barrier(n_threads)
    seen = []

    def look():
        all_there.wait()
        seen.append(event_loop.loop)

    threads = [threading.Thread(target=look) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 1
    assert len(seen) == n_threads


def test_the_loop_itself_may_call_but_not_wait(event_loop):
    async def on_the_loop():
        assert event_loop.is_current
        assert event_loop.call(lambda: 1) == 1
        with pytest.raises(RuntimeError, match="wait for the event loop on the event loop"):
            event_loop.run(thread_name())

    event_loop.run(on_the_loop())
    assert not event_loop.is_current


def test_a_callback_that_fails_does_not_stop_the_loop(event_loop):
    event_loop.loop.call_soon_threadsafe(event_loop.loop.set_exception_handler, lambda *_: None)
    event_loop.loop.call_soon_threadsafe(divmod, 7, 0)
    assert event_loop.run(thread_name())


# In a forked child.

FORK = """
assert event_loop.call(os.getpid) == os.getpid()
parent_loop = event_loop.loop
pid = os.fork()
if pid == 0:
    assert event_loop.call(os.getpid) == os.getpid()
    assert event_loop.loop is not parent_loop
    print("child", flush=True)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert event_loop.loop is parent_loop
assert event_loop.call(os.getpid) == os.getpid()
print("parent")
"""


@pytest.mark.system
def test_a_forked_child_has_a_loop_of_its_own():
    assert run_script("import warnings; warnings.simplefilter('ignore')\n" + FORK) == [
        "child",
        "parent",
    ]


RUNS = """
import warnings; warnings.simplefilter("ignore")
class Run:
    def __init__(self, name):
        self.name = name
    def detach(self):
        print(self.name, "is detached by", "child" if os.getpid() != parent else "parent")
    async def leave(self):
        print(self.name, "leaves", flush=True)
parent = os.getpid()
event_loop.take_over(Path("/run"), Run("first"))
"""


@pytest.mark.system
def test_a_forked_child_does_not_touch_its_parents_runs():
    child = """
pid = os.fork()
if pid == 0:
    event_loop.take_over(Path("/run"), Run("child's"))
    raise SystemExit
assert os.waitpid(pid, 0)[1] == 0
"""
    assert run_script(RUNS + child) == ["child's leaves", "first leaves"]


# Whose run it is.


class Run:
    """A run that remembers what happened to it."""

    is_detached = False

    def detach(self):
        self.is_detached = True


def test_a_second_manager_takes_over_from_the_first(event_loop):
    first, second, elsewhere = Run(), Run(), Run()
    event_loop.take_over(FOLDER, first)
    event_loop.take_over(FOLDER / "other", elsewhere)
    event_loop.take_over(FOLDER, second)
    assert (first.is_detached, second.is_detached, elsewhere.is_detached) == (True, False, False)


def test_who_takes_over_from_itself_is_not_detached(event_loop):
    run = Run()
    event_loop.take_over(FOLDER, run)
    event_loop.take_over(FOLDER, run)
    assert not run.is_detached


def test_who_has_given_up_is_not_detached(event_loop):
    first, second = Run(), Run()
    event_loop.take_over(FOLDER, first)
    event_loop.give_up(FOLDER, first)
    event_loop.take_over(FOLDER, second)
    event_loop.give_up(FOLDER, first)
    event_loop.take_over(FOLDER, first)
    assert not first.is_detached
    assert second.is_detached


# At the end of the process.


@pytest.mark.system
def test_nothing_on_the_loop_keeps_a_script_from_ending():
    endless = """
event_loop.submit(asyncio.sleep(1e6))
event_loop.submit(asyncio.to_thread(time.sleep, 1e6))
print("the end")
"""
    assert run_script(endless) == ["the end"]


@pytest.mark.system
def test_runs_are_told_when_a_script_ends_and_not_after_they_gave_up():
    two = """
second = Run("second")
event_loop.take_over(Path("/other"), second)
event_loop.give_up(Path("/other"), second)
print("the end")
"""
    assert run_script(RUNS + two) == ["the end", "first leaves"]


@pytest.mark.system
def test_a_run_may_still_work_in_a_thread_when_a_script_ends():
    work = """
class Diligent(Run):
    async def leave(self):
        print(await asyncio.to_thread(lambda: "one more file"))
event_loop.take_over(Path("/other"), Diligent("diligent"))
"""
    assert run_script(RUNS + work) == ["first leaves", "one more file"]


@pytest.mark.system
def test_a_script_that_fails_tells_its_runs_too():
    assert run_script(RUNS + "raise SystemExit('no')", status=1) == ["first leaves"]


@pytest.mark.system
def test_a_run_that_errs_or_does_not_end_is_no_matter_of_the_others():
    two = """
from adaptive_scheduler.server_support import event_loop as module
import logging; logging.disable()
module._PARTING = 0.2
class Wrong(Run):
    async def leave(self):
        raise OSError("the disk is full")
class Endless(Run):
    async def leave(self):
        await asyncio.sleep(1e6)
for i, kind in enumerate([Wrong, Endless, Run]):
    event_loop.take_over(Path(f"/{i}"), kind(f"run {i}"))
"""
    assert run_script(RUNS + two) == ["first leaves", "run 2 leaves"]
