"""A run can be paused, and parts of it cancelled and tried again, while it goes on."""

from __future__ import annotations

import adaptive
import pytest

from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    InvalidInputError,
    MaxRestartsReachedError,
)
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.scheduler import Local
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import records, saved_points
from tests.waiting import wait_until

N_POINTS = 10


def make_learners(ledger, n_learners=2, **keywords):
    functions = [Noted(ledger.path, i, **keywords) for i in range(n_learners)]
    return [adaptive.SequenceLearner(f, list(range(N_POINTS))) for f in functions]


def states(run):
    return [row["state"] for row in run.database_manager.as_dicts()]


def test_a_paused_run_submits_nothing_until_it_is_resumed(make_run, ledger, gate):
    run = make_run(make_learners(ledger, gate=gate), max_simultaneous_jobs=1)
    run.start()
    wait_until(ledger.jobs)
    run.pause()
    run.pause()
    assert run.is_paused
    assert "paused" in run.info("text")
    (job,) = ledger.jobs()
    Local().cancel_ids([job])
    wait_until(lambda: states(run) == ["ready", "ready"])
    run.job_manager.trigger()
    wait_until(lambda: not run.database_manager.state.jobs)
    assert run.status() == "running"
    assert len(records(events.Submitted)) == 1
    assert len(records(events.Paused)) == 1
    gate.touch()
    run.resume()
    run.resume()
    run.wait()
    assert run.status() == "finished"
    assert len(records(events.Resumed)) == 1
    assert all(ledger.points(i) == set(range(N_POINTS)) for i in range(2))


def test_cancelled_learners_are_saved_and_left_alone_until_they_are_retried(make_run, ledger, gate):
    run = make_run(make_learners(ledger, 4, free=3, gate=gate))
    run.start()
    wait_until(lambda: len(ledger.jobs()) == 2)
    wait_until(lambda: len(ledger.begun(0)) == 4)
    assert run.cancel_learners([0, 3]) == 2
    assert run.cancel_learners([0, 3]) == 0
    wait_until(lambda: states(run)[0] == "cancelled")
    assert saved_points(run.learners[0], "data/0.pickle") == ledger.points(0) == {0, 1, 2}
    wait_until(lambda: states(run)[2] == "running")  # the job in the queue takes its place
    assert not ledger.begun(3)
    gate.touch()
    run.wait()
    assert run.status() == "finished"
    assert states(run) == ["cancelled", "done", "done", "cancelled"]
    assert "2 cancelled" in run.info("text")
    assert [e.end for e in records(events.JobGone) if e.is_failed_start] == []
    assert run.retry([0]) == 1
    run.wait()
    assert states(run) == ["done", "done", "done", "cancelled"]
    assert run.retry() == 1
    run.wait()
    assert run.retry() == 0
    assert states(run) == ["done"] * 4
    assert ledger.twice() == []


def test_what_was_given_up_is_retried_while_others_run(make_run, ledger, gate):
    broken = Noted(ledger.path, 0, raises=lambda n: n == 1)
    waiting = Noted(ledger.path, 1, gate=gate)
    learners = [adaptive.SequenceLearner(f, list(range(N_POINTS))) for f in (broken, waiting)]
    run = make_run(learners, max_fails_per_job=1)
    run.start()
    wait_until(lambda: states(run) == ["failed", "running"])
    assert run.retry() == 1
    assert run.retry() == 0
    wait_until(lambda: states(run)[0] == "done")
    gate.touch()
    run.wait()
    assert run.status() == "finished"


def test_a_run_that_has_failed_is_retried_in_the_same_process(make_run, ledger, here):
    mended = here / "mended"

    def is_broken(n_begun):
        return n_begun > 3 and not mended.exists()

    run = make_run(make_learners(ledger, raises=is_broken), max_fails_per_job=1)
    run.start()
    with pytest.raises(MaxRestartsReachedError):
        run.wait()
    mended.touch()
    assert run.retry([0]) == 1
    with pytest.raises(MaxRestartsReachedError, match="Learner 1"):
        run.wait()
    assert states(run) == ["done", "failed"]


def test_who_steers_a_run_that_is_not_under_way_is_told(make_run, ledger):
    run = make_run(make_learners(ledger))
    for call in (run.pause, run.resume, run.retry, lambda: run.cancel_learners([0])):
        with pytest.raises(AdaptiveSchedulerError, match=r"call `start\(\)` first"):
            call()
    run.start()
    with pytest.raises(InvalidInputError, match="numbered from 0 to 1"):
        run.cancel_learners([2])
    run.wait()
    with pytest.raises(AdaptiveSchedulerError, match=r"finished.*call `start\(\)` first"):
        run.pause()


def test_a_run_that_was_cancelled_starts_again(make_run, ledger, gate):
    run = make_run(make_learners(ledger, 1, free=3, gate=gate))
    run.start()
    wait_until(lambda: len(ledger.begun()) == 4)
    run.cancel()
    with pytest.raises(AdaptiveSchedulerError, match="cancelled"):
        run.retry()
    wait_until(run.task.done)
    gate.touch()
    run.start()
    run.wait()
    assert run.status() == "finished"
    assert ledger.twice() == []
