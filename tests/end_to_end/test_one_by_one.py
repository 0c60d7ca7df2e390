"""Runs that begin one after another."""

from __future__ import annotations

from itertools import pairwise

import adaptive
import pytest

from adaptive_scheduler import start_one_by_one
from adaptive_scheduler.errors import InvalidInputError
from tests.end_to_end.ledger import Noted
from tests.waiting import PATIENCE, wait_until


def square(x):
    return x**2


def line():
    return adaptive.Learner1D(square, bounds=(-1, 1))


def test_each_run_begins_when_the_one_before_is_over(make_run):
    runs = [make_run([line()], [f"{i}.pickle"], goal=5, job_name=f"run{i}") for i in range(3)]
    last, begun = start_one_by_one(*runs)
    last.result(timeout=PATIENCE)
    runs[-1].wait(timeout=PATIENCE)
    assert [run.status() for run in runs] == ["finished"] * 3
    assert all(future.done() for future in begun)
    for before, after in pairwise(runs):
        assert before.end_time <= after.start_time


def test_a_goal_lets_the_next_begin_before_the_one_before_is_over(make_run, ledger, gate):
    first = make_run([adaptive.Learner1D(Noted(ledger.path, gate=gate), bounds=(-1, 1))], goal=3)
    second = make_run([line()], ["second.pickle"], goal=5, job_name="second")
    last, _ = start_one_by_one(first, second, goal=lambda _: bool(ledger.begun(0)), interval=0.1)
    last.result(timeout=PATIENCE)
    second.wait(timeout=PATIENCE)
    assert first.status() == "running"
    gate.touch()
    first.wait(timeout=PATIENCE)


def test_cancelling_the_future_keeps_further_runs_from_beginning(make_run, ledger, gate):
    first = make_run([adaptive.Learner1D(Noted(ledger.path, gate=gate), bounds=(-1, 1))], goal=3)
    second = make_run([line()], ["second.pickle"], goal=5, job_name="second")
    last, begun = start_one_by_one(first, second)
    begun[0].result(timeout=PATIENCE)
    last.cancel()
    wait_until(last.cancelled)
    gate.touch()
    first.wait(timeout=PATIENCE)
    assert second.status() == "not yet started"


def test_runs_that_were_started_are_refused(make_run):
    run = make_run([line()], goal=5)
    run.start()
    with pytest.raises(InvalidInputError, match="'run' has been started before"):
        start_one_by_one(run)
    run.wait(timeout=PATIENCE)


def test_no_runs_are_refused():
    with pytest.raises(InvalidInputError, match="no runs"):
        start_one_by_one()


def test_what_is_no_run_is_refused(make_run):
    with pytest.raises(InvalidInputError, match=r"start_one_by_one\(first.* not a list"):
        start_one_by_one([make_run([line()], goal=5)])


def test_runs_of_one_folder_are_refused(make_run):
    with pytest.raises(InvalidInputError, match=r"Two of the runs .*'.*run-run'"):
        start_one_by_one(*(make_run([line()], goal=5) for _ in range(2)))
