"""Runs with `PBS`, whatever happens to its server, its jobs and its answers."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from functools import partial

import adaptive
import pytest
from adaptive.utils import named_product

from adaptive_scheduler import utils
from adaptive_scheduler.errors import SubmissionRejectedError
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.scheduler import PBS
from adaptive_scheduler.scheduler.command import Commands
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import is_alive, most_at_once, points, records, saved_points
from tests.waiting import PATIENCE, wait_until

N_POINTS = 10
#: Only a job's end makes it save.
NEVER = 3600


def power(x, pow, a):  # noqa: A002  the name in the README
    return a * x**pow


@pytest.fixture(autouse=True)
def quick(pbs, monkeypatch):
    """Let nothing take longer than a test needs."""
    pbs.set(nodes={"pbs-head": 4}, kill_delay=20.0)
    monkeypatch.setattr(PBS, "min_poll_interval", 0.2)


@pytest.fixture
def start(make_run, ledger, gate):
    """Return a function that starts a run whose functions wait at the gate."""

    def start(n_learners=2, **keywords):
        functions = [Noted(ledger.path, i, free=3, gate=gate) for i in range(n_learners)]
        learners = [adaptive.SequenceLearner(f, list(range(N_POINTS))) for f in functions]
        scheduler = keywords.pop("scheduler", None) or PBS(2)
        run = make_run(learners, scheduler=scheduler, **keywords)
        run.start()
        return run

    return start


@pytest.fixture
def complete(ledger, gate):
    """Return a function that lets a run end, and checks that nothing is missing."""

    def complete(run):
        gate.touch()
        run.wait(timeout=PATIENCE)
        assert run.status() == "finished"
        for i, learner in enumerate(run.learners):
            assert saved_points(learner, run.fnames[i]) == set(range(N_POINTS))

    return complete


@contextmanager
def hung(pbs):
    """Let the server not answer for a while, and nobody wait for long."""
    with pytest.MonkeyPatch.context() as patch, pbs.hung():
        patch.setattr(Commands, "timeout", 3.0)
        yield


def submissions(pbs):
    """Return what was ever submitted, arrays and jobs that are in none."""
    return {job["array"] or job["id"] for job in pbs.jobs()}


def test_twenty_learners_as_in_the_readme(make_run, ledger, gate):
    combos = named_product(pow=list(range(10)), a=[0.5, 1.0])
    functions = [
        Noted(ledger.path, i, gate=gate, function=partial(power, **combo))
        for i, combo in enumerate(combos)
    ]
    learners = [adaptive.Learner1D(function, bounds=(-1, 1)) for function in functions]
    fnames = [utils.combo2fname(combo, folder="data") for combo in combos]
    run = make_run(
        learners,
        fnames,
        scheduler=PBS(cores=2),
        goal=lambda learner: learner.npoints > 200,
        max_simultaneous_jobs=2,
    )
    run.start()
    wait_until(lambda: len(ledger.jobs()) == 2)  # neither does all before the other is there
    gate.touch()
    run.wait(timeout=PATIENCE)
    run.load_learners()
    assert run.status() == "finished"
    for i, (learner, combo) in enumerate(zip(learners, combos, strict=True)):
        assert learner.npoints > 200
        assert learner.data == {x: power(x, **combo) for x in learner.data}
        assert points(learner) <= ledger.points(i)
    assert ledger.twice() == []
    assert most_at_once() <= 2
    assert len({entry.job_pid for entry in ledger.begun()}) == 2


def test_a_killed_job_is_followed_by_another(start, complete, ledger):
    run = start()
    wait_until(lambda: len(ledger.begun(0)) >= 4 and len(ledger.begun(1)) >= 4)
    os.kill(ledger.begun(0)[0].job_pid, signal.SIGKILL)
    wait_until(lambda: records(events.JobGone))
    complete(run)
    (gone,) = (record for record in records(events.JobGone) if "KILL" in record.end)
    assert gone.job_id.endswith("[0].pbs-head")
    assert len({entry.job_pid for entry in ledger.begun(0)}) == 2


def test_a_job_that_somebody_deletes_saves_first(start, complete, ledger, gate):
    run = start(1, save_interval=NEVER)
    wait_until(lambda: len(ledger.begun()) == 5)
    run.scheduler.cancel_ids(list(run.scheduler.queue()))
    wait_until(lambda: not is_alive(ledger.begun()[0].job_pid))
    came_back = {entry.x for entry in ledger.returned()}
    assert saved_points(run.learners[0], run.fnames[0]) == came_back
    complete(run)


def test_a_server_that_hangs_in_the_middle_of_a_submission_starts_no_job_twice(
    pbs,
    start,
    complete,
    ledger,
):
    scheduler = PBS(2)
    scheduler.check(scheduler.resources(0))
    assert scheduler._site.max_array_size == 10_000  # what is asked once is known now
    assert scheduler._site.default_walltimes == {}
    with hung(pbs):
        run = start(scheduler=scheduler)
        wait_until(lambda: "did not answer" in run.info("text"))
    wait_until(lambda: len(ledger.begun(0)) >= 4 and len(ledger.begun(1)) >= 4)
    with hung(pbs):
        wait_until(lambda: "`qselect" in run.info("text"))
    complete(run)
    assert len(submissions(pbs)) == 1
    assert ledger.twice() == []


def test_a_server_that_is_down_for_a_while_disturbs_no_job(pbs, start, complete, ledger):
    run = start()
    wait_until(lambda: len(ledger.begun(0)) >= 4 and len(ledger.begun(1)) >= 4)
    with pbs.down():
        wait_until(lambda: "Connection refused" in run.info("text"))
        assert records(events.JobGone) == []
    complete(run)
    assert ledger.twice() == []
    assert len({entry.job_pid for entry in ledger.begun()}) == 2


def test_a_submission_whose_answer_was_lost_is_not_repeated(pbs, start, complete, ledger):
    pbs.lose_next_answer()
    run = start()
    wait_until(lambda: records(events.Submitted))
    complete(run)
    assert len(submissions(pbs)) == 1
    assert ledger.twice() == []


def test_a_job_that_pbs_starts_again_goes_on_under_the_same_id(pbs, start, complete, ledger):
    run = start(1)
    wait_until(lambda: len(ledger.begun()) == 5)
    (job_id,) = run.scheduler.queue()
    pbs.requeue(job_id)
    wait_until(lambda: len({entry.job_pid for entry in ledger.begun()}) == 2)
    assert list(run.scheduler.queue()) == [job_id]
    complete(run)
    identities = [record.job for record in records(events.Assigned)]
    assert [(job.job_id, job.restarts) for job in identities] == [(job_id, 0), (job_id, 1)]


def test_a_job_that_reaches_its_walltime_loses_no_point(pbs, start, complete, ledger):
    run = start(1, scheduler=PBS(2, walltime=600, signal_before_end=0), save_interval=NEVER)
    wait_until(lambda: len(ledger.begun()) == 5)
    pbs.reach_walltime(*run.scheduler.queue())
    wait_until(lambda: len({entry.job_pid for entry in ledger.begun()}) == 2)
    complete(run)
    assert ledger.twice() == []
    assert records(events.Released)
    assert any("walltime" in record.end for record in records(events.JobGone))


def test_a_job_gives_its_learner_back_before_its_walltime(start, complete, ledger):
    # The script replaces itself by the program, and wakes a minute before the end.
    run = start(1, scheduler=PBS(2, walltime=600), save_interval=NEVER)
    wait_until(lambda: len(ledger.begun()) == 5)
    os.kill(ledger.begun()[0].job_pid, signal.SIGUSR1)
    wait_until(lambda: len({entry.job_pid for entry in ledger.begun()}) == 2)
    assert "USR1" in records(events.Released)[0].reason
    complete(run)
    assert ledger.twice() == []


def test_a_job_on_a_lost_node_is_superseded_by_its_copy_elsewhere(pbs, start, complete, ledger):
    pbs.set(nodes={"node-a": 2, "node-b": 2})
    run = start(1, save_interval=1)
    wait_until(lambda: len(ledger.begun()) == 5)
    old = ledger.begun()[0].job_pid
    pbs.lose_node("node-a")
    # The process on the lost node lives on, while PBS starts its job once more elsewhere.
    pbs.give_up_node("node-a")
    wait_until(lambda: len({entry.job_pid for entry in ledger.begun()}) == 2)
    wait_until(lambda: not is_alive(old))  # it heard that another has its learner
    complete(run)
    assert len({record.job.job_id for record in records(events.Assigned)}) == 1


def test_a_job_that_was_moved_to_another_server_is_not_started_again(pbs, start, complete, ledger):
    run = start(2)
    wait_until(lambda: len(ledger.begun(0)) >= 4 and len(ledger.begun(1)) >= 4)
    pbs.move("1[].pbs-head")
    n_looks = len(pbs.calls("qselect"))
    wait_until(lambda: len(pbs.calls("qselect")) >= n_looks + 2)
    assert records(events.JobGone) == []
    complete(run)
    assert len({entry.job_pid for entry in ledger.begun()}) == 2


def test_a_submission_that_is_refused_ends_the_run_in_qsubs_words(pbs, start):
    run = start(scheduler=PBS(1, queue="nowhere"))
    with pytest.raises(SubmissionRejectedError, match=r"Unknown queue(.|\n)*run-0.pbs"):
        run.wait(timeout=PATIENCE)
    assert run.status() == "failed"
    assert sum("-N" in call for call in pbs.calls("qsub")) == 1


def test_jobs_that_wait_or_are_held_say_why(pbs, start):
    pbs.add_job_of("bob", "greedy", state="R", hold="n", chunks=[(4, 1)], nodes=["pbs-head"])
    run = start(2)
    wait_until(lambda: "Not Running" in run.info("text"))
    pbs.hold("2[].pbs-head", "Not allowed: over the budget")
    wait_until(lambda: "over the budget" in run.info("text"))
    run.cancel()


def test_jobs_that_pbs_could_not_start_and_holds_are_replaced(pbs, start, complete):
    pbs.add_job_of("bob", "greedy", state="R", hold="n", chunks=[(4, 1)], nodes=["pbs-head"])
    run = start(2)
    wait_until(lambda: "Not Running" in run.info("text"))
    pbs.hold("2[].pbs-head", "job held, too many failed attempts to run")
    wait_until(lambda: list(run.get_database().fails) == [1, 1])
    assert "too many failed attempts" in run.get_database().error[0]
    pbs.set(nodes={"pbs-head": 8})
    complete(run)
    assert run.scheduler.queue().keys() & {"2[0].pbs-head", "2[1].pbs-head"} == set()
