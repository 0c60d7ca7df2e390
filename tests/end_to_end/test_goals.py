"""Goals of every kind decide when a learner is done."""

from __future__ import annotations

from datetime import datetime, timedelta

import adaptive
import pytest

from tests.end_to_end.ledger import Noted


def test_an_int_is_a_number_of_points(make_run, ledger):
    assert finished(make_run, ledger, goal=17).npoints == 17


def test_a_float_is_a_loss(make_run, ledger):
    learner = finished(make_run, ledger, goal=0.05)
    assert learner.loss() <= 0.05


def test_a_function_decides_by_the_learner(make_run, ledger):
    assert finished(make_run, ledger, goal=lambda learner: 0.5 in learner.data).data[0.5] == 0.25


@pytest.mark.parametrize(
    "goal", [timedelta(seconds=1), datetime.now().astimezone()], ids=["timedelta", "datetime"]
)
def test_a_time_ends_a_learner_with_the_points_that_it_has(make_run, ledger, goal):
    learner = finished(make_run, ledger, goal=goal)
    assert set(learner.data) <= ledger.points(0)
    assert len(ledger.points(0) - set(learner.data)) <= 1


def test_none_completes_a_sequence(make_run, ledger):
    sequence = adaptive.SequenceLearner(Noted(ledger.path), list(range(30)))
    run = make_run([sequence], goal=None)
    run.start()
    run.wait()
    run.load_learners()
    assert sequence.result() == [x**2 for x in range(30)]
    assert ledger.points(0) == set(range(30))
    assert ledger.twice() == []


def finished(make_run, ledger, **keywords):
    learner = adaptive.Learner1D(Noted(ledger.path), bounds=(-1, 1))
    run = make_run([learner], **keywords)
    run.start()
    run.wait()
    run.load_learners()
    return learner
