"""What fails is tried again, then given up, and says why."""

from __future__ import annotations

import adaptive
import pytest

from adaptive_scheduler.errors import MaxRestartsReachedError
from adaptive_scheduler.scheduler import Local
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import saved_points

N_POINTS = 10
BROKEN = 1


def always(n_begun):
    return n_begun > 3


def make_learners(ledger, *, mended=False):
    raises = [None, None if mended else always, None]
    functions = [Noted(ledger.path, i, raises=raises[i]) for i in range(3)]
    return [adaptive.SequenceLearner(f, list(range(N_POINTS))) for f in functions]


def test_a_learner_that_always_fails_is_given_up_when_all_others_are_done(make_run, ledger):
    run = make_run(make_learners(ledger), max_fails_per_job=2)
    run.start()
    with pytest.raises(MaxRestartsReachedError) as caught:
        run.wait()
    message = str(caught.value)
    assert f"Learner {BROKEN}" in message
    assert "ValueError: no value for learner 1 at 3" in message
    assert "in __call__" in message  # the traceback of the user's own function
    assert run.status() == "failed"
    assert ledger.points(0) == ledger.points(2) == set(range(N_POINTS))
    assert ledger.points(BROKEN) == saved_points(run.learners[BROKEN], "data/1.pickle") == {0, 1, 2}
    assert [row["fails"] for row in run.database_manager.failed] == [2]


@pytest.mark.parametrize("max_fails", [1, 2])
def test_after_the_cause_is_mended_the_run_goes_on_where_it_was(make_run, ledger, max_fails):
    first = make_run(make_learners(ledger), dependencies={2: [1]}, max_fails_per_job=max_fails)
    first.start()
    with pytest.raises(MaxRestartsReachedError):
        first.wait()
    assert len(first.database_manager.failed) == 2
    mended = make_learners(ledger, mended=True)
    second = make_run(mended, dependencies={2: [1]}, max_fails_per_job=1)
    second.start()
    second.wait()
    assert second.status() == "finished"
    assert all(ledger.points(i) == set(range(N_POINTS)) for i in range(3))
    assert ledger.twice() == []


def test_jobs_that_die_before_they_say_hello_end_the_run_with_what_they_printed(make_run, ledger):
    number = Local.variables.number
    slow = f"[ {number} = 2 ] && exec sleep 1000"  # it is there, or waits, when the others are gone
    script = f"echo 'no licence for you'\n{slow}\nexit 3"
    scheduler = Local(max_cores=2, extra_script=script)
    run = make_run(make_learners(ledger), scheduler=scheduler, max_fails_per_job=2)
    run.start()
    with pytest.raises(MaxRestartsReachedError) as caught:
        run.wait()
    assert "no licence for you" in str(caught.value)
    assert "exit code 3" in str(caught.value)
    assert run.status() == "failed"
    assert ledger.begun() == []
    assert run.scheduler.queue() == {}
    mended = make_run(make_learners(ledger, mended=True), max_fails_per_job=2)
    mended.start()
    mended.wait()
    assert mended.status() == "finished"


def test_an_exception_that_cannot_be_pickled_is_told_all_the_same(make_run):
    class Odd(Exception):  # noqa: N818
        def __init__(self, text, lock):
            super().__init__(text)
            self.lock = lock

    def function(x):
        import threading

        raise Odd("odd in itself", threading.Lock())

    run = make_run([adaptive.SequenceLearner(function, [0])], max_fails_per_job=1)
    run.start()
    with pytest.raises(MaxRestartsReachedError, match="odd in itself"):
        run.wait()


def test_a_function_that_ends_its_process_fails_and_does_not_hang(make_run):
    def function(x):
        import os

        os._exit(1)

    run = make_run([adaptive.SequenceLearner(function, [0])], max_fails_per_job=1)
    run.start()
    with pytest.raises(MaxRestartsReachedError, match="workers died"):
        run.wait()
