"""The command `adaptive-scheduler` on real runs, with and without a living manager."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler.errors import MaxRestartsReachedError
from adaptive_scheduler.scheduler import Local
from tests.end_to_end import programs
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import saved_points, wait_for_empty_queue
from tests.waiting import PATIENCE, wait_until

N_POINTS = 10
FREE = 3


def command(*arguments, code=0):
    """Run the command, which must end with `code`, and return what it says."""
    done = subprocess.run(
        [Path(sys.executable).with_name("adaptive-scheduler"), *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def make_learners(ledger, gate=None, n=3, **keywords):
    functions = [Noted(ledger.path, i, free=FREE, gate=gate, **keywords) for i in range(n)]
    return [adaptive.SequenceLearner(f, list(range(N_POINTS))) for f in functions]


@pytest.fixture
def running(make_run, ledger, gate):
    """Return a run of this process with two jobs at work on three learners."""
    run = make_run(make_learners(ledger, gate))
    run.start()
    wait_until(lambda: len(ledger.begun()) == 2 * (FREE + 1))
    return run


@pytest.fixture
def left_alone(ledger, gate):
    """Leave such a run without a manager."""
    programs.run(programs.program(n_learners=3, n_points=N_POINTS, end="run.start()\n"))
    wait_until(lambda: len(ledger.begun()) == 2 * (FREE + 1))


def test_status_says_how_a_run_does(running, gate):
    said = json.loads(command("status", "--json", "run-run"))
    assert said["status"] == "running"
    assert said["n_learners"] == 3
    assert said["learners"] == {"running": 2, "ready": 1}
    assert f"process {os.getpid()}" in said["manager"]
    assert "running, managed by process" in command("status", "run-run")
    gate.touch()
    running.wait()
    said = json.loads(command("status", "--json", "run-run"))
    assert (said["status"], said["learners"], said["manager"]) == ("finished", {"done": 3}, None)


def test_status_of_a_run_that_nobody_manages(left_alone):
    said = json.loads(command("status", "--json", "run-run"))
    assert (said["status"], said["manager"]) == ("left alone", None)
    assert "nobody manages it" in command("status", "run-run")


def test_cancel_asks_a_living_manager(running, ledger):
    assert f"process {os.getpid()}" in command("cancel", "run-run")
    running.wait()
    assert running.status() == "cancelled"
    assert Local().queue() == {}
    for i, learner in enumerate(running.learners[:2]):
        assert saved_points(learner, f"data/{i}.pickle") == ledger.points(i)


def test_cancel_asks_the_scheduler_where_nobody_manages_the_run(left_alone, ledger):
    assert "cancelled" in command("cancel", "run-run")
    wait_for_empty_queue()
    for i, learner in enumerate(make_learners(ledger, n=2)):
        assert saved_points(learner, f"data/{i}.pickle") == ledger.points(i)
    assert json.loads(command("status", "--json", "run-run"))["status"] == "cancelled"


def test_what_was_cancelled_from_outside_goes_on_when_it_is_started_again(
    left_alone, make_run, ledger, gate
):
    command("cancel", "run-run")
    wait_for_empty_queue()
    gate.touch()
    run = make_run(make_learners(ledger, gate))
    run.start()
    run.wait()
    assert run.status() == "finished"
    assert ledger.twice() == []
    assert all(ledger.points(i) == set(range(N_POINTS)) for i in range(3))


def test_logs_show_what_a_job_said_and_printed(make_run):
    def function(x):
        print("printed by the function", flush=True)  # noqa: T201
        raise ValueError("raised by the function")

    learners = [adaptive.SequenceLearner(function, [0]), adaptive.SequenceLearner(abs, [0])]
    run = make_run(learners, max_fails_per_job=1)
    run.start()
    with pytest.raises(MaxRestartsReachedError):
        run.wait()
    said = command("logs", "run-run")
    assert "printed by the function" in said
    assert "raised by the function" in said
    assert "==> " in said
    assert "raised by the function" in command("logs", "run-run", "--learner", "0")
    assert "raised by the function" in command("status", "run-run")


def test_a_folder_without_a_run_is_an_error_in_one_line(here):
    for name in ("status", "cancel", "logs"):
        (line,) = command(name, "nothing-here", code=1).splitlines()
        assert line.startswith("adaptive-scheduler: ")
        assert "nothing-here" in line
