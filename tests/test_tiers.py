"""Each test has one tier, and those of the tier `unit` keep to themselves."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiers import TIERS

ROOT = Path(__file__).parents[1]

GOOD = """
import socket, subprocess, threading, time
import pytest

goes_on = threading.Event()

def start_processes_for_ever():
    while not goes_on.wait(0.001):
        subprocess.run(["true"])

@pytest.mark.system
def test_a_process():
    subprocess.run(["true"])

@pytest.mark.system
def test_a_thread_that_starts_processes():
    threading.Thread(target=start_processes_for_ever).start()

def test_what_others_have_left():
    time.sleep(0.3)
    goes_on.set()

def test_the_loopback():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
"""
BAD = """
import asyncio, contextlib, multiprocessing, os, socket, subprocess, threading, time
import pytest

def start():
    subprocess.run(["true"])

def test_a_process():
    start()

def test_a_process_and_nobody_hears_of_it():
    with contextlib.suppress(BaseException):
        start()

def test_a_process_of_a_thread():
    def start_quietly():
        with contextlib.suppress(BaseException):
            start()
    thread = threading.Thread(target=start_quietly)
    thread.start()
    thread.join()

def test_a_process_of_a_loop():
    asyncio.run(asyncio.create_subprocess_exec("true"))

def test_a_shell():
    os.system("true")

def test_a_fork():
    if os.fork() == 0:
        os._exit(0)

def test_a_worker():
    multiprocessing.get_context("fork").Process(target=start).start()

def test_another_host():
    socket.create_connection(("192.0.2.1", 9), timeout=0.1)

def test_a_nap():
    time.sleep(0.6)

@pytest.fixture
def started():
    start()

def test_a_process_of_a_fixture(started):
    pass
"""
UNSURE = """
import pytest

@pytest.fixture
def pbs():
    pass

@pytest.mark.unit
def test_it(pbs):
    pass
"""


@pytest.fixture
def outcomes(tmp_path):
    """Return a function that runs tests, and returns how it ended and what came of each."""

    def outcomes(tests, *options):
        (tmp_path / "test_it.py").write_text(tests)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-v", "-p", "tests.tiers", "--rootdir=.", *options],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        each = re.findall(r"^test_\w+\.py::(\w+) (\w+)", done.stdout, flags=re.MULTILINE)
        return done.returncode, dict(each)

    return outcomes


def names(tests):
    return re.findall(r"^def (test_\w+)", tests, flags=re.MULTILINE)


def test_every_test_has_one_tier(request):
    for item in request.session.items:
        assert sum(mark.name in TIERS for mark in item.iter_markers()) == 1, item.nodeid


@pytest.mark.system
def test_tests_that_keep_to_their_tier_pass(outcomes):
    assert outcomes(GOOD) == (0, dict.fromkeys(names(GOOD), "PASSED"))


@pytest.mark.system
def test_a_unit_test_that_does_what_others_may_fails(outcomes):
    _, found = outcomes(BAD)
    assert found.pop("test_a_process_of_a_fixture") == "ERROR"
    assert found == dict.fromkeys(names(BAD)[:-1], "FAILED")


@pytest.mark.system
def test_a_tier_is_chosen_by_its_mark(outcomes):
    assert outcomes(GOOD, "-m", "unit")[1].keys() == set(names(GOOD)[2:])


@pytest.mark.system
def test_a_test_can_not_be_of_two_tiers(outcomes):
    assert outcomes(UNSURE) == (pytest.ExitCode.USAGE_ERROR, {})


@pytest.mark.system
def test_files_with_slow_tests_come_first(outcomes, tmp_path):
    (tmp_path / "test_a.py").write_text("def test_quick(): pass")
    _, found = outcomes(GOOD)
    assert list(found) == [*names(GOOD), "test_quick"]
