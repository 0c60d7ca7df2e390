"""Learners of all types, with all executors."""

from __future__ import annotations

from operator import itemgetter

import adaptive
import pytest

from adaptive_scheduler.scheduler import Local
from tests.end_to_end.ledger import Noted, value_at
from tests.end_to_end.looking import points

ENOUGH = 24
#: With two workers, adaptive's AverageLearner1D asks for some samples twice.
ASKS_TWICE = 5


def enough(learner):
    return learner.npoints >= ENOUGH


def noisy(seed_and_x):
    seed, x = seed_and_x
    return x + 0.01 * (seed % 3)


def with_more(x):
    return {"y": value_at(x), "more": f"about {x}"}


def make_learners(ledger):
    """Return a learner of each type, and one of two more."""

    def noted(number, function=value_at):
        return Noted(ledger.path, number, function=function)

    saved = adaptive.Learner1D(noted(7, with_more), (-1, 1))
    return [
        adaptive.Learner1D(noted(0), (-1, 1)),
        adaptive.Learner2D(noted(1), [(-1, 1), (-1, 1)]),
        adaptive.LearnerND(noted(2), [(-1, 1), (-1, 1), (-1, 1)]),
        adaptive.SequenceLearner(noted(3), list(range(ENOUGH))),
        adaptive.AverageLearner(noted(4), atol=1e-9),
        adaptive.AverageLearner1D(noted(5, noisy), (-1, 1), min_samples=2, min_error=10),
        adaptive.IntegratorLearner(noted(6), (0, 1), tol=1e-12),
        adaptive.DataSaver(saved, itemgetter("y")),
        adaptive.BalancingLearner([adaptive.Learner1D(noted(i), (-1, 1)) for i in (8, 9)]),
    ]


ALL = range(9)
#: A pool of loky's takes a second to start: these differ in what travels to its workers.
A_FEW = (0, 3, 7, 8)


@pytest.mark.parametrize(
    ("executor_type", "chosen"), [("process-pool", ALL), ("sequential", ALL), ("loky", A_FEW)]
)
def test_every_type_of_learner_gets_all_points_that_were_computed(
    make_run, ledger, executor_type, chosen
):
    learners = make_learners(ledger)
    fnames = [f"data/{i}.pickle" for i in range(8)] + [["data/8.pickle", "data/9.pickle"]]
    run = make_run(
        [learners[i] for i in chosen],
        [fnames[i] for i in chosen],
        scheduler=Local(cores=2, max_cores=2, executor_type=executor_type),
        goal=enough,
    )
    run.start()
    run.wait()
    run.load_learners()
    assert all(learner.npoints >= ENOUGH for learner in run.learners)
    *single, balancing = learners
    for i, learner in enumerate([*single, *balancing.learners]):
        assert points(learner) <= ledger.points(i), type(learner)
        assert len(ledger.points(i) - points(learner)) <= 2, type(learner)
    assert {learner for learner, _ in ledger.twice()} <= {ASKS_TWICE}


def test_a_data_saver_keeps_what_else_the_function_returned(make_run, ledger):
    inner = adaptive.Learner1D(Noted(ledger.path, function=with_more), (-1, 1))
    run = make_run([adaptive.DataSaver(inner, itemgetter("y"))], goal=10)
    run.start()
    run.wait()
    run.load_learners()
    saver = run.learners[0]
    assert saver.extra_data == {x: with_more(x) for x in inner.data}
