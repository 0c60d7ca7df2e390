"""Promise 2: jobs don't need the notebook."""

from __future__ import annotations

import signal

import pytest

from adaptive_scheduler.run_folder import events
from adaptive_scheduler.scheduler import Local
from tests.end_to_end import programs
from tests.end_to_end.looking import records, send, wait_for_empty_queue
from tests.waiting import wait_until

N_LEARNERS = 4
N_POINTS = 10

PROGRAM = programs.program(
    n_learners=N_LEARNERS, n_points=N_POINTS, end="run.start()\nrun.wait()\nprint(run.status())\n"
)


@pytest.fixture
def left_alone(ledger):
    """Start a run, and kill its manager while two jobs run and others wait."""
    manager = programs.start(PROGRAM)
    wait_until(lambda: len(ledger.jobs()) == 2)
    queue = Local().queue()
    assert sum(job["running"] for job in queue.values()) == 2
    assert len(queue) == N_LEARNERS
    send(signal.SIGKILL, [manager.pid])
    programs.finish(manager)


def test_all_learners_get_done_and_the_next_manager_computes_nothing_again(
    left_alone, ledger, gate
):
    gate.touch()
    wait_for_empty_queue()
    for learner in range(N_LEARNERS):
        assert ledger.points(learner) == set(range(N_POINTS))
    assert ledger.twice() == []
    before = ledger.path.read_bytes()
    assert programs.run(PROGRAM) == "finished\n"
    assert ledger.path.read_bytes() == before
    assert len(records(events.Done)) == N_LEARNERS


def test_jobs_that_were_waiting_start_their_learner_though_nobody_answers(left_alone, ledger):
    first = ledger.jobs()
    Local().cancel_ids(first)
    wait_until(lambda: len(ledger.jobs()) == N_LEARNERS)
    second = [job for job in ledger.jobs() if job not in first]
    assert {ledger.jobs(learner)[-1] for learner in range(N_LEARNERS)} >= set(second)
    assert {e.learner for e in ledger.begun() if e.job_id in second}.isdisjoint(
        {e.learner for e in ledger.begun() if e.job_id in first}
    )
