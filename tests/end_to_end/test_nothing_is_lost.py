"""Promise 1: nothing that was computed is lost."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler.errors import MaxRestartsReachedError
from adaptive_scheduler.scheduler import Local
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import family, is_alive, points, saved_points, send
from tests.waiting import wait_until
from tests.whole_lines import whole_lines

N_POINTS = 40
#: Evaluations that go through before the world stops.
FREE = 20
#: Only a job's end makes it save.
NEVER = 3600

DATA = Path("data/0.pickle")


@pytest.fixture
def sequence(ledger, gate):
    """Return a learner whose evaluations wait at the gate after the first `FREE` ones."""
    return adaptive.SequenceLearner(Noted(ledger.path, free=FREE, gate=gate), list(range(N_POINTS)))


@pytest.fixture
def stopped(make_run, ledger, sequence):
    """Return a function that starts a run and waits until both workers of its job wait.

    Then all results before have come back: a worker gets another point only
    after the learner has heard of one.
    """

    def start(**keywords):
        run = make_run([sequence], cores=2, **keywords)
        run.start()
        wait_until(lambda: len(ledger.begun()) == FREE + 2)
        return run

    return start


def test_a_job_that_is_cancelled_by_name_saves_what_came_back(stopped, ledger, sequence):
    run = stopped(save_interval=NEVER, job_manager_interval=NEVER)
    run.scheduler.cancel(["run-0"], with_progress_bar=False)
    assert ledger.points(0) == saved_points(sequence, DATA)


def test_a_run_that_is_cancelled_saves_what_came_back(stopped, ledger, sequence):
    run = stopped(save_interval=NEVER)
    run.cancel()
    run.wait()
    assert run.status() == "cancelled"
    assert run.scheduler.queue() == {}
    assert ledger.points(0) == saved_points(sequence, DATA)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2])
def test_whatever_signal_announces_its_end_a_job_saves_and_another_goes_on(
    stopped, ledger, gate, signum
):
    run = stopped(save_interval=NEVER)
    job = ledger.begun()[0].job_pid
    send(signum, [job])
    wait_until(lambda: not is_alive(job))
    gate.touch()
    run.wait()
    assert ledger.points(0) == set(range(N_POINTS))
    assert ledger.twice() == []
    assert len(ledger.jobs()) == 2
    assert run.get_database().fails[0] == 0  # it is not the learner's fault


def test_a_job_that_reaches_its_time_limit_saves_what_came_back(make_run, ledger, sequence, gate):
    def time():
        return None if ledger.jobs() else 6

    scheduler = Local(cores=2, max_cores=2, time=time)
    run = make_run([sequence], scheduler=scheduler, save_interval=NEVER)
    run.start()
    (first,) = wait_until(ledger.jobs)
    wait_until(lambda: first not in scheduler.queue())
    gate.touch()
    run.wait()
    assert ledger.points(0) == set(range(N_POINTS))
    assert len(ledger.twice()) <= 2  # on a slow machine it was evaluating when its time was up


def test_a_job_that_is_killed_loses_only_what_was_not_saved_yet(stopped, ledger, sequence, gate):
    run = stopped(save_interval=1)
    wait_until(lambda: DATA.exists() and len(saved_points(sequence, DATA)) == FREE)
    job = family(ledger.begun()[0].job_pid)
    send(signal.SIGKILL, job[:1])
    wait_until(lambda: not any(is_alive(pid) for pid in job))  # workers die with their job
    gate.touch()
    run.wait()
    assert ledger.points(0) == set(range(N_POINTS))
    assert ledger.twice() == []
    assert len(ledger.jobs()) == 2


def test_what_was_computed_before_the_function_raised_is_saved(make_run, ledger):
    function = Noted(ledger.path, raises=lambda n: n == FREE)
    run = make_run([adaptive.SequenceLearner(function, range(N_POINTS))], save_interval=NEVER)
    run.start()
    run.wait()
    assert ledger.points(0) == set(range(N_POINTS))
    assert ledger.twice() == []
    assert len(ledger.begun()) == N_POINTS + 1


def test_a_file_that_cannot_be_read_is_put_aside_and_reported(make_run, ledger):
    DATA.parent.mkdir()
    DATA.write_bytes(b"no data of adaptive")
    run = make_run([adaptive.Learner1D(Noted(ledger.path), (-1, 1))], goal=10)
    run.start()
    run.wait()
    (aside,) = DATA.parent.glob("0.pickle.unreadable-*")
    assert aside.read_bytes() == b"no data of adaptive"
    run.load_learners()
    assert points(run.learners[0]) <= ledger.points(0)
    log = whole_lines(Path(run.get_database().log_fname[0]))
    (said,) = [e for e in map(json.loads, log) if e["level"] == "error"]
    assert str(aside) in said["file"]


def make_a_folder(path):
    path.mkdir(parents=True)


def make_a_circle(path):
    path.parent.mkdir()
    path.symlink_to(path.name)


@pytest.mark.parametrize("obstruct", [make_a_folder, make_a_circle])
def test_what_may_be_good_and_cannot_be_read_now_is_left_and_named(make_run, ledger, obstruct):
    obstruct(DATA)
    before = DATA.lstat().st_ino
    run = make_run([adaptive.Learner1D(Noted(ledger.path), (-1, 1))], goal=10, max_fails_per_job=1)
    run.start()
    with pytest.raises(MaxRestartsReachedError, match=str(DATA)):
        run.wait()
    assert run.status() == "failed"
    assert DATA.lstat().st_ino == before
    assert [path.name for path in DATA.parent.iterdir()] == [DATA.name]
    assert ledger.begun() == []
