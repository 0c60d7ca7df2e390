"""Runs on a real Slurm cluster.

After each: all learners are done, no point is lost, and no learner was in two
jobs at the same time.
"""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import adaptive
import pytest
from adaptive.utils import named_product

from adaptive_scheduler import slurm_run, utils
from adaptive_scheduler.errors import SubmissionRejectedError
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.scheduler import SLURM
from adaptive_scheduler.scheduler.slurm.commands import slurm_commands
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import most_at_once, points, records, saved_points
from tests.end_to_end.slurm.checks import (
    NEVER,
    check_that_all_is_well,
    overlapping_holds,
)
from tests.waiting import PATIENCE, wait_until


def power(x, pow, a):  # noqa: A002  as in the README
    return a * x**pow


def test_twenty_learners_on_four_nodes(cluster, make_run, ledger, gate):
    combos = named_product(pow=list(range(10)), a=[0.5, 1.0])
    functions = [
        Noted(ledger.path, i, free=10, gate=gate, function=partial(power, **combo))
        for i, combo in enumerate(combos)
    ]
    learners = [adaptive.Learner1D(function, bounds=(-1, 1)) for function in functions]
    fnames = [utils.combo2fname(combo, folder="data") for combo in combos]
    run = make_run(
        learners, fnames, scheduler=SLURM(cores=2), goal=lambda learner: learner.npoints > 200
    )
    with cluster.counted() as calls:
        run.start()
        wait_until(lambda: len(ledger.jobs()) == 4)
        gate.touch()
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


def test_a_thousand_learners_are_done_by_eight_jobs(cluster, start, ledger, gate):
    functions = [Noted(ledger.path, i, gate=gate) for i in range(1000)]
    learners = [adaptive.SequenceLearner(function, [0, 1]) for function in functions]
    with cluster.counted() as calls:
        scheduler = SLURM(cores=1, executor_type="sequential")
        run = start(learners, scheduler=scheduler, max_simultaneous_jobs=8)
        wait_until(lambda: len(ledger.jobs()) == 8)
        gate.touch()
        run.wait(timeout=PATIENCE)
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


def test_one_call_makes_a_run_whose_functions_don_t_stop_the_manager(ledger):
    threads = set()

    def partition():
        threads.add(threading.current_thread().name)
        return "urgent"

    learner = adaptive.SequenceLearner(Noted(ledger.path), list(range(4)))
    run = slurm_run([learner], ["data/0.pickle"], name="run", partition=partition, quiet=True)
    run.start()
    run.wait()
    check_that_all_is_well(run, ledger)
    assert "--cpus-per-task=2\n" in Path("run-run/scripts/run-0.sbatch").read_text()  # a whole node
    assert len(run.load_dataframes()) == len(learner.data) == 4
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


# Time limits.


def test_a_job_whose_time_is_nearly_over_saves_and_another_goes_on(stopped, ledger, gate):
    run = stopped(scheduler=SLURM(cores=2, time="00:01:00"), save_interval=NEVER)
    attempt = run.get_database().attempt[0]  # its time may be over before it has begun
    wait_until(lambda: run.get_database().attempt[0] > attempt)
    gate.touch()
    run.wait(timeout=PATIENCE)
    check_that_all_is_well(run, ledger)
    assert records(events.Failed) == []
    assert {r.reason for r in records(events.Released)} == {"The job got SIGUSR1."}
    assert len(ledger.jobs()) >= 2


@pytest.mark.parametrize(
    ("executor", "n_cores", "n_workers"),
    [
        ("sequential", 1, 1),
        ("loky", 2, 2),
        ("mpi4py", 4, 3),  # one process more than workers, as with ipyparallel
        ("ipyparallel", 4, 3),
        ("dask", 3, 3),
    ],
)
def test_a_warning_and_an_end_reach_the_jobs_of_every_executor(
    stopped, ledger, executor, n_cores, n_workers
):
    scheduler = SLURM(cores=n_cores, executor_type=executor)
    run = stopped(n_workers, scheduler=scheduler, save_interval=NEVER)
    (first,) = ledger.jobs()
    # SIGTERM for all processes, and SIGKILL after `KillWait`.
    slurm_commands().ask(["scancel", first])
    wait_until(lambda: n_begun_after(first, ledger) == n_workers)
    assert saved_points(run.learners[0], "data/0.pickle") == ledger.points(0)
    second = ledger.jobs()[-1]
    # As Slurm sends its warning.
    slurm_commands().ask(["scancel", "--batch", "--signal=USR1", second])
    wait_until(lambda: len(records(events.Released)) == 2)
    assert [r.reason for r in records(events.Released)] == [
        "The job got SIGTERM.",
        "The job got SIGUSR1.",
    ]
    run.cancel()
    run.wait(timeout=PATIENCE)
    run.load_learners()
    assert points(run.learners[0]) == ledger.points(0)
    assert records(events.Failed) == list(overlapping_holds()) == []


def n_begun_after(job_id, ledger):
    """Return how many evaluations have begun in the jobs that came after this one."""
    return sum(entry.job_id != job_id for entry in ledger.begun())
