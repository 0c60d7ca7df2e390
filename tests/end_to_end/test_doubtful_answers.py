"""Promise 5: a doubtful answer changes nothing."""

from __future__ import annotations

import adaptive

from adaptive_scheduler.run_folder import events
from adaptive_scheduler.scheduler import Local
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import records
from tests.end_to_end.schedulers import Unreliable
from tests.waiting import wait_until

N_LEARNERS = 4
N_POINTS = 10


def test_a_scheduler_that_fails_now_and_then_starts_no_job_twice(make_run, ledger, gate):
    functions = [Noted(ledger.path, i, free=3, gate=gate) for i in range(N_LEARNERS)]
    learners = [adaptive.SequenceLearner(f, list(range(N_POINTS))) for f in functions]
    scheduler = Unreliable(max_cores=2)
    run = make_run(learners, scheduler=scheduler)
    run.start()
    wait_until(lambda: len(records(events.Submitted)) == 1)  # found in the queue by its token
    wait_until(lambda: len(ledger.jobs()) == 2)
    n_looks = scheduler.n_looks
    wait_until(lambda: scheduler.n_looks > n_looks + 4)
    assert len(Local().queue()) == N_LEARNERS
    assert records(events.JobGone) == []
    gate.touch()
    run.wait()
    assert run.status() == "finished"
    for learner in range(N_LEARNERS):
        assert ledger.points(learner) == set(range(N_POINTS))
        assert len(ledger.jobs(learner)) == 1
    assert ledger.twice() == []
    assert scheduler.n_submissions == 2


def test_who_asks_how_it_does_is_told_what_the_scheduler_cannot_do(make_run, ledger, gate):
    learner = adaptive.SequenceLearner(Noted(ledger.path, gate=gate), [0])
    run = make_run([learner], scheduler=Unreliable(max_cores=2))
    run.start()
    wait_until(lambda: "no answer" in run.info("text"))
    gate.touch()
    run.wait()
