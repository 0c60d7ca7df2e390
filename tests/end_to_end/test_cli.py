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
from adaptive_scheduler.server_support.folder_view import FolderView
from tests.end_to_end import programs
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import saved_points, wait_for_empty_queue
from tests.waiting import PATIENCE, wait_until

N_POINTS = 10
FREE = 3


COMMAND = Path(sys.executable).with_name("adaptive-scheduler")


@pytest.fixture(autouse=True)
def _local(monkeypatch):
    monkeypatch.setenv("SCHEDULER_SYSTEM", "LOCAL")


def command(*arguments, code=0):
    """Run the command, which must end with `code`, and return what it says."""
    done = subprocess.run(
        [COMMAND, *arguments],
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
    words = command("status", "run-run")
    assert words.startswith("run running ")
    assert "managed by process" in words
    assert "2 running, 1 ready" in words
    gate.touch()
    running.wait()
    said = json.loads(command("status", "--json", "run-run"))
    assert (said["status"], said["learners"], said["manager"]) == ("finished", {"done": 3}, None)


def test_status_of_a_run_that_nobody_manages(left_alone):
    said = json.loads(command("status", "--json", "run-run"))
    assert (said["status"], said["manager"]) == ("unmanaged", None)
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


def test_a_living_manager_is_paused_and_resumed(running):
    assert f"process {os.getpid()}" in command("pause", "run-run")
    assert running.is_paused
    command("pause", "run-run")
    assert "run running (paused)" in command("status", "run-run")
    assert json.loads(command("status", "run-run", "--json"))["is_paused"]
    command("resume", "run-run")
    assert not running.is_paused


def test_a_living_manager_leaves_learners_alone_until_they_are_retried(running, gate):
    assert "1 learner cancelled;" in command("cancel", "run-run", "--learner", "2")
    assert "0 learners cancelled;" in command("cancel", "run-run", "--learner", "2")
    said = json.loads(command("status", "run-run", "--json"))
    assert said["learners"] == {"running": 2, "cancelled": 1}
    assert "from 0 to 2" in command("cancel", "run-run", "--learner", "7", code=1)
    assert "1 learner will be tried again." in command("retry", "run-run")
    gate.touch()
    running.wait()
    assert running.status() == "finished"


def test_who_manages_a_run_next_finds_it_paused(left_alone, make_run, ledger, gate):
    assert "Nobody manages the run" in command("pause", "run-run")
    assert "nothing to retry" in command("retry", "run-run", "--learner", "0", "2")
    assert "from 0 to 2" in command("retry", "run-run", "--learner", "-1", code=1)
    run = make_run(make_learners(ledger, gate))
    run.start()
    assert run.is_paused
    command("resume", "run-run")
    gate.touch()
    run.wait()
    assert run.status() == "finished"


def test_learners_of_a_run_that_nobody_manages_are_cancelled(left_alone, make_run, ledger, gate):
    assert "2 learners cancelled;" in command("cancel", "run-run", "--learner", "0", "2")
    view = FolderView("run-run")
    wait_until(lambda: view.info().counts == {"running": 1, "cancelled": 2})
    (learner,) = make_learners(ledger, n=1)
    assert saved_points(learner, "data/0.pickle") == ledger.points(0)
    gate.touch()
    run = make_run(make_learners(ledger, gate))
    run.start()
    run.wait()
    assert [row["state"] for row in run.database_manager.as_dicts()] == [
        "cancelled",
        "done",
        "cancelled",
    ]


def test_a_run_that_is_over_is_not_steered(running, gate):
    gate.touch()
    running.wait()
    for name in ("pause", "resume", "retry"):
        assert "is finished: there is nothing to" in command(name, "run-run", code=1)


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


def test_a_run_that_was_left_alone_is_managed_until_its_end(left_alone, gate):
    gate.touch()
    done = subprocess.run(
        [COMMAND, "attach", "run-run"], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert "run finished" in done.stderr
    said = json.loads(command("status", "--json", "run-run"))
    assert (said["status"], said["learners"]) == ("finished", {"done": 3})
    assert "--again" in command("attach", "run-run")
    command("attach", "run-run", "--again")


def test_a_run_that_somebody_manages_is_left_to_them(running):
    assert f"managed by process {os.getpid()}" in command("attach", "run-run", code=1)
    assert running.status() == "running"


def test_runs_are_listed_with_those_in_folders_below(running, here, gate):
    (row,) = json.loads(command("list", "--json", str(here)))
    assert (row["folder"], row["status"], row["jobs"]) == (str(here / "run-run"), "running", 3)
    head, line = command("list").splitlines()
    assert head.split() == ["folder", "status", "done", "failed", "jobs", "last", "change"]
    assert line.split()[:4] == ["run-run", "running", "0/3", "3"]
    gate.touch()
    running.wait()
    assert "finished  3/3" in command("list", str(here))
    (here / "empty").mkdir()
    assert "no run" in command("list", "empty")


def test_status_is_watched_until_the_end_of_the_run(running, gate):
    with subprocess.Popen(
        [COMMAND, "status", "run-run", "--watch"], stdout=subprocess.PIPE, text=True
    ) as watching:
        lines = iter(watching.stdout)
        assert "run running" in next(lines)
        gate.touch()
        running.wait()
        rest = "".join(lines)
    assert watching.returncode == 0
    assert "run finished" in rest.splitlines()[-3]


def test_logs_are_followed_until_the_end_of_the_run(running, gate):
    with subprocess.Popen(
        [COMMAND, "logs", "run-run", "--follow", "-n", "1"], stdout=subprocess.PIPE, text=True
    ) as following:
        lines = iter(following.stdout)
        assert next(lines).startswith("==> ")
        gate.touch()
        running.wait()
        rest = "".join(lines)
    assert following.returncode == 0
    assert '"reports"' in rest


def test_logs_of_a_learner_that_there_is_not_are_an_error(running):
    assert "0 to 2" in command("logs", "run-run", "--learner", "3", code=1)


def test_the_doctor_finds_nothing_wrong_where_runs_work(here):
    findings = {f["subject"]: f for f in json.loads(command("doctor", "--json"))}
    assert {f["verdict"] for f in findings.values()} == {"good"}
    assert findings.keys() >= {"queue", "folder", "limits", "job", "shared folder", "connection"}
    assert not list(here.glob("doctor-*"))
    assert "ok    job: came back from" in command("doctor")


def test_the_doctor_says_what_to_do_where_jobs_ask_for_too_much(here):
    done = subprocess.run(
        [COMMAND, "doctor", "--cores", "9999"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "BAD   job: A job that asks for 9999 cores" in done.stdout
    assert "-> Ask for something else" in done.stdout
    assert not list(here.glob("doctor-*"))


def test_the_doctor_looks_at_a_slurm_cluster(slurm, monkeypatch):
    monkeypatch.setenv("SCHEDULER_SYSTEM", "SLURM")
    findings = {f["subject"]: f for f in json.loads(command("doctor", "--json"))}
    assert findings["job"]["verdict"] == "good", findings
    assert findings["connection"]["verdict"] == "good"
    assert "MaxArraySize" in findings["limits"]["words"]


def test_the_doctor_looks_at_pbs(pbs, here, monkeypatch):
    monkeypatch.setenv("SCHEDULER_SYSTEM", "PBS")
    findings = {f["subject"]: f for f in json.loads(command("doctor", "--json"))}
    assert findings["job"]["verdict"] == "good", findings
    assert findings["connection"]["verdict"] == "good"
    assert "arrays of" in findings["limits"]["words"]
    assert not list(here.glob("doctor-*"))


def test_help_names_every_command():
    words = command("--help")
    names = ("status", "list", "logs", "cancel", "pause", "resume", "retry", "attach", "doctor")
    for name in names:
        assert f"    {name} " in words
        assert "usage: adaptive-scheduler" in command(name, "--help")


def test_wrong_usage_has_its_own_exit_code():
    assert "usage" in command("stattus", code=2)
    assert "usage" in command(code=2)


def test_a_folder_without_a_run_is_an_error_in_one_line(here):
    for name in ("status", "cancel", "pause", "retry", "logs", "attach"):
        (line,) = command(name, "nothing-here", code=1).splitlines()
        assert line.startswith("adaptive-scheduler: ")
        assert "nothing-here" in line
