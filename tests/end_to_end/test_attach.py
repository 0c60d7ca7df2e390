"""A run is picked up again by its folder alone."""

from __future__ import annotations

import signal
import socket

import adaptive
import msgspec
import pytest

from adaptive_scheduler import RunManager
from adaptive_scheduler.errors import RunFolderError, RunFolderLockedError
from adaptive_scheduler.run_folder import events
from tests.end_to_end import programs
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import records, send
from tests.waiting import wait_until

N_LEARNERS = 3
N_POINTS = 10

PROGRAM = programs.program(
    n_learners=N_LEARNERS, n_points=N_POINTS, end="run.start()\nrun.wait()\nprint(run.status())\n"
)


@pytest.fixture
def attach():
    """Return `RunManager.attach`; runs that are not over are left when the test is."""
    runs = []

    def attach(folder="run-run", **keywords):
        runs.append(RunManager.attach(folder, **keywords))
        return runs[-1]

    yield attach
    for run in runs:
        run.detach()


def states(run):
    return list(run.get_database()["state"])


def test_from_another_folder_a_run_goes_on_where_its_manager_was_killed(
    attach, ledger, gate, here, monkeypatch
):
    first = programs.start(PROGRAM)
    wait_until(lambda: len(ledger.jobs()) == 2)
    send(signal.SIGKILL, [first.pid])
    programs.finish(first)
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    run = attach(here / "run-run")
    assert run.status() == "running"
    assert run.job_name == "run"
    assert run.quiet
    assert run.fnames == [f"data/{i}.pickle" for i in range(N_LEARNERS)]
    assert run.project.folder == here
    gate.touch()
    run.wait()
    run.load_learners()
    assert [learner.npoints for learner in run.learners] == [N_POINTS] * N_LEARNERS
    assert ledger.twice() == []
    journal = here / "run-run/journal.jsonl"
    assert len(records(events.Submitted, journal)) == 1
    assert run.start_time == records(events.ManagerStarted, journal)[0].time
    assert list(elsewhere.iterdir()) == []
    monkeypatch.chdir(here)
    assert programs.run(PROGRAM) == "finished\n"  # the program knows its run again


def test_a_run_that_is_managed_elsewhere_is_shown_and_not_touched(attach, ledger, gate):
    first = programs.start(PROGRAM)
    wait_until(lambda: len(ledger.jobs()) == 2)
    before = records(events.ManagerStarted)
    run = attach()
    who = f"process {first.pid} on {socket.gethostname()}, since "
    for call in (run.start, run.cancel, run.pause, run.wait, run.retry):
        with pytest.raises(RunFolderLockedError, match=who):
            call()
    assert run.status() == "running"
    assert states(run) == ["running", "running", "ready"]
    assert "0/3 learners done" in run.info("text")
    run.load_learners()
    gate.touch()
    assert programs.finish(first)[0] == 0
    assert run.status() == "finished"
    assert states(run) == ["done"] * N_LEARNERS
    assert "3/3 learners done, 30 points" in run.info("text")
    assert records(events.ManagerStarted) == before


def test_when_the_other_manager_dies_the_run_can_be_started_here(attach, ledger, gate):
    first = programs.start(PROGRAM)
    wait_until(lambda: len(ledger.jobs()) == 2)
    run = attach()
    send(signal.SIGKILL, [first.pid])
    programs.finish(first)
    assert run.status() == "unmanaged"
    run.start()
    gate.touch()
    run.wait()
    assert run.status() == "finished"
    assert ledger.twice() == []


def test_a_run_that_is_over_is_shown_and_checked_again_by_another_goal(attach, make_run, ledger):
    functions = [Noted(ledger.path, i) for i in range(2)]
    learners = [adaptive.SequenceLearner(f, list(range(N_POINTS))) for f in functions]
    make_run(learners, goal=3).start().wait()
    run = attach()
    assert run.status() == "finished"
    assert not run.is_started
    n_begun = len(ledger.begun())
    again = attach(goal=7)
    again.wait()
    assert len(records(events.Reopened)) == 2
    assert len(ledger.begun()) > n_begun
    again.load_learners()
    assert min(learner.npoints for learner in again.learners) >= 7
    assert ledger.twice() == []
    same = make_run(learners, goal=7)
    same.start()
    same.wait()
    assert len(records(events.Reopened)) == 2


def test_what_was_paused_and_cancelled_is_so_for_who_attaches(attach, make_run, ledger, gate):
    functions = [Noted(ledger.path, i, gate=gate) for i in range(3)]
    learners = [adaptive.SequenceLearner(f, list(range(N_POINTS))) for f in functions]
    first = make_run(learners, max_simultaneous_jobs=1)
    first.start()
    wait_until(ledger.jobs)
    first.pause()
    first.cancel_learners([2])
    first.detach()
    run = attach()
    assert run.is_paused
    assert states(run) == ["running", "ready", "cancelled"]
    gate.touch()
    wait_until(lambda: states(run)[:2] == ["done", "done"])  # the job goes on from one to the next
    assert len(records(events.Submitted)) == 1
    run.wait()
    assert run.status() == "finished"


def test_a_folder_without_a_run_is_an_error(attach, here):
    with pytest.raises(RunFolderError, match="There is no run"):
        attach(here)


# Managers on other hosts.


@pytest.fixture
def left_by_another_host(make_run, ledger, gate):
    """Return a run whose manager seems to have been on a host of which nothing is heard."""
    run = make_run([adaptive.SequenceLearner(Noted(ledger.path, gate=gate), list(range(N_POINTS)))])
    run.start()
    wait_until(ledger.jobs)
    run.detach()
    holder = {"host": "gone", "pid": 1, "since": "2026-01-01 00:00:00 UTC"}
    run.run_folder.lock.write_bytes(msgspec.json.encode(holder))
    return run


def test_a_manager_on_another_host_at_whose_port_nobody_listens_is_dead(
    left_by_another_host, attach, gate
):
    run = attach()
    assert run.status() == "running"
    gate.touch()
    run.wait()


def test_a_host_that_cannot_be_asked_is_only_passed_over_on_demand(
    left_by_another_host, attach, gate
):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        path = left_by_another_host.run_folder.connection
        connection = msgspec.json.decode(path.read_bytes())
        connection["addresses"] = [f"tcp://127.0.0.1:{silent.getsockname()[1]}"]
        path.write_bytes(msgspec.json.encode(connection))
        with pytest.raises(RunFolderLockedError, match=r"process 1 on gone.*take_over=True"):
            left_by_another_host.start()
        run = attach(take_over=True)
    assert run.status() == "running"
    gate.touch()
    run.wait()


def test_who_was_passed_over_stops_and_leaves_the_jobs_alone(attach, make_run, ledger, gate):
    run = make_run([adaptive.SequenceLearner(Noted(ledger.path, gate=gate), list(range(N_POINTS)))])
    run.start()
    wait_until(ledger.jobs)
    holder = msgspec.json.decode(run.run_folder.lock.read_bytes())
    other = run.run_folder.lock.with_name("other")
    other.write_bytes(msgspec.json.encode({**holder, "host": "other"}))
    other.replace(run.run_folder.lock)
    run.job_manager.trigger()
    with pytest.raises(RunFolderLockedError, match="on other"):
        run.wait()
    assert run.scheduler.queue()
    assert records(events.RunEnded) == []
    run.run_folder.lock.unlink()
    gate.touch()
    attach().wait()
    assert ledger.twice() == []
