"""Programs of the user's own that run in a job."""

from __future__ import annotations

import subprocess
import sys

import adaptive
import pytest

from adaptive_scheduler import client_support
from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.scheduler import Local
from adaptive_scheduler.server_support import DatabaseManager, get_allowed_url
from tests.waiting import PATIENCE, wait_until

PROGRAM = """
import asyncio, sys
import adaptive
from adaptive_scheduler import client_support

async def main(url):
    client_support.add_log_file_handler("by-hand.log")
    learner, fname, initializer = client_support.get_learner(url, "by-hand.log", "77", "hand-0")
    npoints_start = learner.npoints
    executor = adaptive.utils.SequentialExecutor()
    runner = adaptive.Runner(learner, goal=lambda l: l.npoints >= 9, executor=executor, ntasks=1)
    client_support.log_info(runner, interval=0.1)
    await runner.task
    client_support.log_now(runner, npoints_start)
    learner.save(fname)
    return fname

url = sys.argv[1]
fname = asyncio.run(main(url))
client_support.tell_done(url, fname)
"""


def square(x):
    return x**2


@pytest.fixture
def database(here):
    learner = adaptive.Learner1D(square, bounds=(-1, 1))
    manager = DatabaseManager(
        get_allowed_url(), Local(), "running.json", [learner], ["data.pickle"]
    )
    manager.start()
    yield manager
    manager.cancel()


def test_a_program_gets_a_learner_and_tells_when_it_is_done(database, here):
    subprocess.run(
        [sys.executable, "-c", PROGRAM, here / "running-run"], check=True, timeout=PATIENCE
    )
    wait_until(database.is_done)
    learner = adaptive.Learner1D(square, bounds=(-1, 1))
    learner.load("data.pickle")
    assert learner.npoints == 9
    assert '"npoints": 9' in (here / "by-hand.log").read_text()


def test_an_address_finds_the_run_folder_that_belongs_to_it(database, here):
    port = database.url.rpartition(":")[2]
    learner, fname, initializer = client_support.get_learner(
        f"tcp://127.0.0.1:{port}", "x.log", "1", "hand-0"
    )
    assert (learner.npoints, fname, initializer) == (0, "data.pickle", None)


def test_a_second_job_is_told_that_nothing_is_left(database, here):
    client_support.get_learner(here / "running-run", "x.log", "1", "hand-0")
    with pytest.raises(InvalidInputError, match="no learner for job hand-0"):
        client_support.get_learner(here / "running-run", "x.log", "2", "hand-0")


def test_only_who_has_a_learner_can_be_done_with_it(database, here):
    client_support.get_learner(here / "running-run", "x.log", "1", "hand-0")
    with pytest.raises(InvalidInputError, match=r"does not have the learner of 'other\.pickle'"):
        client_support.tell_done(here / "running-run", "other.pickle")
    assert not database.is_done()


def test_an_address_of_nobody_is_an_error(here):
    with pytest.raises(InvalidInputError, match="is no run folder"):
        client_support.get_learner("tcp://127.0.0.1:1", "x.log", "1", "hand-0")
