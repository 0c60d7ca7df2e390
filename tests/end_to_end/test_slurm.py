"""Runs on a real Slurm cluster, and all that can go wrong there.

After each: all learners are done, no point is lost, and no learner was in two
jobs at the same time.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import adaptive
import psutil
import pytest
from adaptive.utils import named_product

from adaptive_scheduler import journal as j
from adaptive_scheduler import utils
from adaptive_scheduler.errors import SubmissionRejectedError
from adaptive_scheduler.scheduler import SLURM
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import family, is_alive, most_at_once, points, records, send
from tests.waiting import wait_until

N_POINTS = 40
#: Evaluations that go through before the world stops.
FREE = 20
#: Only a job's end makes it save.
NEVER = 3600
#: Seconds for a run with pauses of the scheduler in it.
LONG = 150

DATA = Path("data/0.pickle")

#: They wait for a scheduler's own time: `make slow` runs them.
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def cluster(slurm):
    return slurm


@pytest.fixture
def sequence(ledger, gate):
    """Return a learner whose evaluations wait at the gate after the first `FREE` ones."""
    return adaptive.SequenceLearner(Noted(ledger.path, free=FREE, gate=gate), list(range(N_POINTS)))


@pytest.fixture
def start(cluster, make_run):
    """Return a function that starts a run with Slurm."""

    def start(learners, fnames=None, *, scheduler=None, **keywords):
        scheduler = scheduler or SLURM(cores=2, signal_before_end=0)
        scheduler.min_poll_interval = 0.5
        run = make_run(learners, fnames, scheduler=scheduler, **keywords)
        run.start()
        return run

    return start


@pytest.fixture
def stopped(start, ledger, sequence):
    """Return a function that starts a run and waits until both workers of its job wait."""

    def start_and_wait(**keywords):
        run = start([sequence], **keywords)
        wait_until(lambda: len(ledger.begun()) == FREE + 2)
        return run

    return start_and_wait


def check_that_all_is_well(run, ledger, *, twice=0):
    """Check what must be true after every run, whatever has happened."""
    assert run.status() == "finished"
    run.load_learners()
    for index, learner in enumerate(run.learners):
        assert learner.done()
        assert points(learner) == ledger.points(index)
    assert len(ledger.twice()) <= twice
    assert list(overlapping_holds()) == []


def overlapping_holds() -> Iterator[j.Assigned]:
    """Yield the assignments of learners that another job had at the time."""
    holders = {}
    for record in j.read_journal(Path("run-run/journal.jsonl")):
        match record:
            case j.Assigned():
                before = holders.get(record.learner)
                if before is not None and before.job_id != record.job.job_id:
                    yield record
                holders[record.learner] = record.job
            case j.Done() | j.Failed() | j.Released():
                holders.pop(record.learner, None)
            case j.JobGone():
                holders = {i: job for i, job in holders.items() if job.job_id != record.job_id}


# Runs.


def power(x, pow, a):  # noqa: A002  as in the README
    return a * x**pow


def test_twenty_learners_on_four_nodes(cluster, make_run, ledger):
    combos = named_product(pow=list(range(10)), a=[0.5, 1.0])
    functions = [
        Noted(ledger.path, i, function=partial(power, **combo)) for i, combo in enumerate(combos)
    ]
    learners = [adaptive.Learner1D(function, bounds=(-1, 1)) for function in functions]
    fnames = [utils.combo2fname(combo, folder="data") for combo in combos]
    run = make_run(
        learners, fnames, scheduler=SLURM(cores=2), goal=lambda learner: learner.npoints > 200
    )
    with cluster.counted() as calls:
        run.start()
        run.wait()
    run.load_learners()
    for i, (learner, combo) in enumerate(zip(learners, combos, strict=True)):
        assert learner.npoints >= 201
        assert learner.data == {x: power(x, **combo) for x in learner.data}
        assert points(learner) <= ledger.points(i)
    assert ledger.twice() == []
    assert most_at_once() == 4
    assert calls["sbatch"] == 1
    assert list(overlapping_holds()) == []


@pytest.mark.timeout(300)
def test_a_thousand_learners_are_done_by_eight_jobs(cluster, start, ledger):
    functions = [Noted(ledger.path, i) for i in range(1000)]
    learners = [adaptive.SequenceLearner(function, [0, 1]) for function in functions]
    with cluster.counted() as calls:
        scheduler = SLURM(cores=1, executor_type="sequential")
        run = start(learners, scheduler=scheduler, max_simultaneous_jobs=8)
        run.wait(timeout=240)
    check_that_all_is_well(run, ledger)
    assert calls["sbatch"] <= 3
    assert len(ledger.jobs()) == 8


def test_learners_with_resources_of_their_own_share_arrays_where_these_are_equal(
    cluster, start, ledger
):
    functions = [Noted(ledger.path, i) for i in range(6)]
    learners = [adaptive.SequenceLearner(function, list(range(4))) for function in functions]
    with cluster.counted() as calls:
        run = start(learners, scheduler=SLURM(cores=(1, 2, 1, 2, 1, 2)))
        run.wait()
    check_that_all_is_well(run, ledger)
    assert calls["sbatch"] == 2
    assert len(list(Path("run-run/scripts").iterdir())) == 2


def test_functions_that_say_what_jobs_ask_for_don_t_stop_the_manager(start, ledger):
    threads = set()

    def partition():
        threads.add(threading.current_thread().name)
        return "urgent"

    learner = adaptive.SequenceLearner(Noted(ledger.path), list(range(4)))
    run = start([learner], scheduler=SLURM(cores=1, partition=partition))
    run.wait()
    check_that_all_is_well(run, ledger)
    assert threads
    assert "adaptive-scheduler" not in threads  # that of the event loop


def test_a_run_that_is_cancelled_saves_what_came_back(stopped, ledger, sequence, cluster):
    run = stopped(save_interval=NEVER)
    run.cancel()
    run.wait()
    assert run.status() == "cancelled"
    run.load_learners()
    assert points(sequence) == ledger.points(0)
    assert cluster.run("squeue", "--noheader") == ""


# Jobs that end.


def test_a_job_whose_program_is_killed_loses_only_what_was_not_saved(stopped, ledger, gate):
    run = stopped(save_interval=1)
    wait_until(DATA.exists)
    wait_until(lambda: len(run.learners[0].new().data) == 0 and saved() == FREE)
    job = family(ledger.begun()[0].job_pid)
    send(signal.SIGKILL, job[:1])
    wait_until(lambda: not any(map(is_alive, job)))
    wait_until(lambda: run.get_database().fails[0] == 1)
    assert "SIGKILL" in run.get_database().error[0]
    gate.touch()
    run.wait(timeout=LONG)
    check_that_all_is_well(run, ledger)
    assert len(ledger.jobs()) == 2


def saved() -> int:
    """Return how many points the data file has."""
    learner = adaptive.SequenceLearner(abs, list(range(N_POINTS)))
    learner.load(DATA)
    return learner.npoints


def test_a_job_that_is_cancelled_by_somebody_else_saves_and_another_goes_on(
    cluster, stopped, ledger, gate
):
    run = stopped(save_interval=NEVER)
    (job_id,) = ledger.jobs()
    cluster.run("scancel", job_id)
    wait_until(lambda: run.get_database().attempt[0] == 2)
    assert run.get_database().fails[0] == 0
    gate.touch()
    run.wait(timeout=LONG)
    check_that_all_is_well(run, ledger)
    assert len(ledger.jobs()) == 2


def test_a_job_that_is_requeued_saves_and_gets_its_learner_back(cluster, stopped, ledger, gate):
    run = stopped(save_interval=NEVER, max_simultaneous_jobs=1)
    (job_id,) = ledger.jobs()
    cluster.requeue(job_id)
    gate.touch()
    run.wait(timeout=LONG)
    check_that_all_is_well(run, ledger)
    output = next(Path("run-run/logs").glob(f"*{job_id}.out"))
    assert "DUE TO JOB REQUEUE" in output.read_text()


@pytest.mark.timeout(300)
def test_a_node_that_is_lost_takes_no_learner_with_it(cluster, stopped, ledger, gate):
    run = stopped(save_interval=1)
    wait_until(lambda: DATA.exists() and saved() == FREE)
    old = ledger.begun()[0].job_pid
    cluster.lose_node(node_of(old))
    # The process on the lost node lives on, while Slurm starts its job once more elsewhere.
    wait_until(lambda: len(ledger.jobs()) == 2, timeout=LONG)
    wait_until(lambda: not is_alive(old))  # it heard that another has its learner
    gate.touch()
    run.wait(timeout=LONG)
    check_that_all_is_well(run, ledger)


def node_of(pid: int) -> str:
    """Return the node of a job's process."""
    return psutil.Process(pid).environ()["SLURMD_NODENAME"]


def test_a_job_of_a_lost_node_that_must_not_come_back_is_replaced(cluster, stopped, ledger, gate):
    scheduler = SLURM(cores=2, requeue=False)
    run = stopped(save_interval=1, scheduler=scheduler)
    wait_until(lambda: DATA.exists() and saved() == FREE)
    old = ledger.begun()[0].job_pid
    cluster.lose_node(node_of(old))
    wait_until(lambda: "NODE_FAIL" in str(run.get_database().error[0]))
    wait_until(lambda: len(ledger.jobs()) == 2)
    wait_until(lambda: not is_alive(old))
    gate.touch()
    run.wait(timeout=LONG)
    check_that_all_is_well(run, ledger)


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_a_job_that_hits_its_time_limit_loses_no_point(start, ledger):
    # Three minutes of work for two cores, in jobs of a minute.
    learner = adaptive.SequenceLearner(Noted(ledger.path, function=slowly), list(range(720)))
    run = start([learner], scheduler=SLURM(cores=2, time="00:01:00"), save_interval=NEVER)
    run.wait(timeout=540)
    n_jobs = len(ledger.jobs())
    assert n_jobs >= 3
    check_that_all_is_well(run, ledger, twice=2 * (n_jobs - 1))  # what was evaluated at the signal
    assert {type(r) for r in records(j.Failed)} == set()
    assert {r.reason for r in records(j.Released)} == {"The job got SIGUSR1."}


def slowly(x):
    threading.Event().wait(0.5)
    return x


# Refusals.


def test_a_submission_that_is_refused_ends_the_run_in_sbatchs_words(cluster, start, sequence):
    with cluster.counted() as calls:
        scheduler = SLURM(cores=1, extra_scheduler=["--constraint=nix"])
        run = start([sequence], scheduler=scheduler)
        with pytest.raises(SubmissionRejectedError, match=r"Invalid feature(.|\n)*run-0.sbatch"):
            run.wait()
    assert run.status() == "failed"
    assert calls["sbatch"] == 1


def test_a_job_that_can_not_begin_says_why(start, sequence):
    run = start([sequence], scheduler=SLURM(cores=1, partition="down"))
    wait_until(lambda: "PartitionDown" in run.info(format="text"))
    run.cancel()


# A controller in trouble.


@pytest.mark.parametrize("trouble", ["controller_stopped", "controller_down"])
def test_jobs_go_on_while_the_controller_does_not_answer(cluster, stopped, ledger, gate, trouble):
    run = stopped()
    with getattr(cluster, trouble)():
        wait_until(lambda: "slurm_load_jobs error" in run.info(format="text"))
        gate.touch()
        wait_until(lambda: ledger.points(0) == set(range(N_POINTS)))
        wait_until(lambda: run.get_database().is_done[0])
    run.wait(timeout=LONG)
    check_that_all_is_well(run, ledger)
    assert len(ledger.jobs()) == 1


@pytest.mark.parametrize("trouble", ["controller_stopped", "controller_down"])
def test_a_job_that_dies_while_the_controller_does_not_answer_is_replaced_later(
    cluster, stopped, ledger, gate, trouble
):
    run = stopped(save_interval=1)
    wait_until(lambda: DATA.exists() and saved() == FREE)
    with getattr(cluster, trouble)():
        send(signal.SIGKILL, family(ledger.begun()[0].job_pid))
        wait_until(lambda: "slurm_load_jobs error" in run.info(format="text"))
        assert run.get_database().fails[0] == 0  # nobody knows that it is dead
    gate.touch()
    run.wait(timeout=LONG)
    check_that_all_is_well(run, ledger)


def test_a_submission_without_an_answer_is_found_and_not_repeated(cluster, start, ledger):
    functions = [Noted(ledger.path, i) for i in range(4)]
    learners = [adaptive.SequenceLearner(function, list(range(4))) for function in functions]
    scheduler = SLURM(cores=2)
    assert scheduler.partitions  # asked before the trouble begins
    with cluster.counted() as calls:
        with cluster.controller_stopped():
            run = start(learners, scheduler=scheduler)
            wait_until(lambda: "not known whether sbatch" in run.info(format="text"))
        run.wait(timeout=LONG)
    check_that_all_is_well(run, ledger)
    assert calls["sbatch"] == 1
    assert len(records(j.Submitted)) == 1


def test_a_submission_to_a_controller_that_dies_is_repeated(cluster, start, ledger):
    functions = [Noted(ledger.path, i) for i in range(4)]
    learners = [adaptive.SequenceLearner(function, list(range(4))) for function in functions]
    scheduler = SLURM(cores=2)
    assert scheduler.partitions
    cluster.signal(signal.SIGSTOP, "slurmctld")
    run = start(learners, scheduler=scheduler)
    wait_until(lambda: records(j.Submitting) and children_named("sbatch"))
    cluster.kill("slurmctld")
    wait_until(lambda: "not known whether sbatch" in run.info(format="text"))
    cluster.start_controller()
    run.wait(timeout=LONG)
    check_that_all_is_well(run, ledger)
    assert len(records(j.Submitted)) == 1


def children_named(name: str) -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child.name() == name]
