"""Promise 4: two jobs never work on one learner."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import adaptive
import pytest

from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import (
    family,
    is_alive,
    loaded,
    saved_points,
    send,
    wait_for_empty_queue,
)
from tests.end_to_end.schedulers import Forgetful
from tests.waiting import wait_until

N_POINTS = 30
FREE = 10
DATA = Path("data/0.pickle")


def by_whom(x):
    """Return which job has computed this value."""
    return os.environ["ADAPTIVE_SCHEDULER_LOCAL_JOB_ID"]


@pytest.fixture
def learner(ledger, gate):
    function = Noted(ledger.path, free=FREE, gate=gate, function=by_whom)
    return adaptive.SequenceLearner(function, list(range(N_POINTS)))


@pytest.fixture
def other(here):
    """Return a learner that keeps the run from ending until a file appears."""
    function = Noted(here / "the other's ledger", gate=here / "the end")
    return adaptive.SequenceLearner(function, [0])


@pytest.fixture
def lost_job(here, make_run, ledger, learner):
    """Return a function that starts a run whose first job is stopped and thought to be gone.

    It returns the run and the processes of that job. Another job has the learner then.
    """
    stopped = []

    def start(*others):
        run = make_run([learner, *others], scheduler=Forgetful(here / "lost", max_cores=3))
        run.start()
        wait_until(lambda: DATA.exists() and len(saved_points(learner, DATA)) == FREE)
        stopped.extend(family(ledger.begun()[0].job_pid))
        send(signal.SIGSTOP, stopped)
        (here / "lost").write_text(ledger.jobs()[0])
        wait_until(lambda: len(ledger.jobs()) == 2)
        return run, stopped

    yield start
    send(signal.SIGCONT, stopped)


def test_it_hears_that_another_has_its_learner_and_stops(lost_job, ledger, learner, other, gate):
    run, processes = lost_job(other)
    send(signal.SIGCONT, processes)
    wait_until(lambda: not is_alive(processes[0]))
    assert saved_points(learner, beside()) == set(range(FREE))
    gate.touch()
    Path("the end").touch()
    run.wait()
    assert saved_points(learner, DATA) == set(range(N_POINTS))
    assert {loaded(learner, DATA).data[x] for x in range(FREE, N_POINTS)} == {ledger.jobs()[1]}


def test_it_does_not_replace_what_the_other_job_has_saved(lost_job, ledger, learner, other, gate):
    run, processes = lost_job(other)
    gate.touch()
    wait_until(lambda: run.database_manager.n_done() == 1)
    done = DATA.read_bytes()
    send(signal.SIGCONT, processes)
    wait_until(lambda: not is_alive(processes[0]))
    assert DATA.read_bytes() == done
    assert saved_points(learner, beside()) >= set(range(FREE))
    Path("the end").touch()
    run.wait()
    assert DATA.read_bytes() == done


def test_it_does_not_do_so_either_when_the_run_is_over(lost_job, ledger, learner, gate):
    run, processes = lost_job()
    gate.touch()
    run.wait()
    done = DATA.read_bytes()
    send(signal.SIGCONT, processes)
    wait_for_empty_queue()
    assert DATA.read_bytes() == done
    assert saved_points(learner, beside()) >= set(range(FREE))


def beside():
    """Return the file with the points of the job that came too late."""
    (path,) = DATA.parent.glob("0.pickle.superseded-1-*")
    return path
