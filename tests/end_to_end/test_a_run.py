"""A run as the README shows it."""

from __future__ import annotations

from functools import partial

import adaptive
from adaptive.utils import named_product

from adaptive_scheduler import utils
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import most_at_once, points
from tests.waiting import wait_until


def power(x, pow, a):  # noqa: A002  the name in the README
    return a * x**pow


def test_twenty_learners_are_done_by_two_jobs_that_take_one_after_another(make_run, ledger, gate):
    combos = named_product(pow=list(range(10)), a=[0.5, 1.0])
    functions = [
        Noted(ledger.path, i, gate=gate, function=partial(power, **combo))
        for i, combo in enumerate(combos)
    ]
    learners = [adaptive.Learner1D(function, bounds=(-1, 1)) for function in functions]
    fnames = [utils.combo2fname(combo, folder="data") for combo in combos]
    run = make_run(learners, fnames, goal=lambda learner: learner.npoints > 200)
    run.start()
    wait_until(lambda: len(ledger.jobs()) == 2)  # neither does all before the other is there
    gate.touch()
    run.wait()
    run.load_learners()
    assert run.status() == "finished"
    for i, (learner, combo) in enumerate(zip(learners, combos, strict=True)):
        assert learner.npoints == 201
        assert learner.data == {x: power(x, **combo) for x in learner.data}
        not_saved = ledger.points(i) - points(learner)
        assert points(learner) <= ledger.points(i)
        assert len(not_saved) <= 1  # that which was computed when the goal was reached
    assert ledger.twice() == []
    assert len(ledger.jobs()) == 2
    assert most_at_once() == 2
