"""Each executor takes learners to their goals, over nodes where it spans nodes, and at home."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

import adaptive
import psutil
import pytest

from adaptive_scheduler.errors import MaxRestartsReachedError
from adaptive_scheduler.executors.kinds import EXECUTOR_TYPES, KINDS, given_cores
from adaptive_scheduler.scheduler import SLURM, Local
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import processes_in, said, saved_points
from tests.end_to_end.node_recorder import NodeRecorder, prepare
from tests.waiting import wait_until

EXECUTORS = [name for name in get_args(EXECUTOR_TYPES) if name != "dask-mpi"]
SPANNING = [name for name in EXECUTORS if KINDS[name].spans_nodes]
AT_HOME = [("local", name) for name in EXECUTORS]
OVER_NODES = [("slurm", name) for name in SPANNING]
N_POINTS = 12
NEVER = 3600
DATA = Path("data/0.pickle")
#: The manager of the tests is on the same machine as all nodes.
URL = "tcp://127.0.0.1:*"


def in_places(*places):
    return pytest.mark.parametrize("scheduler", places, indirect=True, ids="-".join)


@pytest.fixture
def scheduler(request, here, monkeypatch):
    """Return a scheduler for an executor, at home or over two nodes; nothing of it is left."""
    where, executor = request.param
    monkeypatch.setenv("IPYTHONDIR", str(here / "ipython"))
    if where == "local":
        yield Local(3, max_cores=3, executor_type=executor)
    else:
        request.getfixturevalue("slurm")
        yield SLURM(nodes=2, cores_per_node=2, executor_type=executor)
    wait_until(lambda: not processes_in(here) and not Path("run-run/scratch").exists())
    assert not Path("ipython").exists()


@pytest.fixture
def workers(here):
    """Return a folder in which each worker leaves a file."""
    folder = here / "workers"
    folder.mkdir()
    return folder


def n_workers(executor):
    """Return how many workers a job has at home."""
    cores = given_cores(3, 0, executor)  # less than that where the tests may use but two
    return 1 if executor == "sequential" else cores - KINDS[executor].n_reserved


def enough(learner):
    return learner.npoints >= N_POINTS


@in_places(*AT_HOME, *OVER_NODES)
def test_learners_reach_their_goals_on_all_nodes(make_run, scheduler, workers):
    executor = scheduler.resources(0).executor_type
    is_local = isinstance(scheduler, Local)
    n_nodes, n_meeting = (1, min(2, n_workers(executor))) if is_local else (2, 3)
    function = NodeRecorder(workers, n_meeting=n_meeting, raises_at=5, is_prepared=True)
    learners = [
        adaptive.SequenceLearner(function, range(N_POINTS + 1)),
        adaptive.Learner1D(function, (-1, 1)),
        adaptive.BalancingLearner([adaptive.Learner1D(function, (0, b)) for b in (1, 2)]),
    ]
    run = make_run(
        learners,
        ["data/0", "data/1", ["data/2", "data/3"]],
        scheduler=scheduler,
        url=URL,
        goal=enough,
        max_simultaneous_jobs=1,
        initializers=[prepare] * len(learners),
        runner_kwargs={"retries": 2, "raise_if_retries_exceeded": False},
    )
    run.start()
    run.wait()
    run.load_learners()
    assert all(map(enough, learners))
    assert len({path.name.partition(".")[0] for path in workers.iterdir()}) == n_nodes
    tries = [x for path in workers.iterdir() for x in path.read_text().split()].count("5")
    assert 1 <= tries <= 3  # the goal may be reached before the last one
    [start_up] = said("first result")  # one job takes all learners
    assert start_up["start_up_time"] > 0


def test_a_job_that_is_bound_to_one_core_has_one_worker(make_run, workers):
    core = min(os.sched_getaffinity(0))
    bind = f"taskset --pid --cpu-list {core} $$ > /dev/null"
    learner = adaptive.SequenceLearner(NodeRecorder(workers), range(N_POINTS))
    run = make_run([learner], scheduler=Local(2, max_cores=2, extra_script=bind))
    run.start()
    run.wait()
    assert len(list(workers.iterdir())) == 1


@in_places(*AT_HOME[:3], *OVER_NODES)
def test_a_job_that_is_cancelled_saves_what_came_back(make_run, scheduler, ledger, gate):
    run = stop_in_the_middle(make_run, scheduler, ledger, gate)
    scheduler.cancel_ids(list(scheduler.queue()))
    wait_until(lambda: said("ends"))
    sequence = adaptive.SequenceLearner(Noted(ledger.path), range(N_POINTS))
    assert ledger.points(0) == saved_points(sequence, DATA)
    run.cancel()  # before another job goes on


@in_places(("local", "dask"))
def test_a_job_that_is_killed_leaves_nothing(make_run, scheduler, ledger, gate):
    run = stop_in_the_middle(make_run, scheduler, ledger, gate, job_manager_interval=1)
    family = psutil.Process(ledger.begun()[0].pid).parents()
    next(p for p in family if "adaptive_scheduler.run_learner" in p.cmdline()).kill()
    wait_until(lambda: len(ledger.jobs()) == 2)
    left = {path.name for path in Path("run-run/scratch").iterdir()}
    assert left == {ledger.jobs()[1]}  # what the other needs; `scheduler` looks for the rest
    gate.touch()
    run.wait()


def stop_in_the_middle(make_run, scheduler, ledger, gate, *, job_manager_interval=NEVER):
    """Return a run whose learner goes no further than to its middle."""
    n_free = 6
    sequence = adaptive.SequenceLearner(Noted(ledger.path, free=n_free, gate=gate), range(N_POINTS))
    run = make_run(
        [sequence],
        scheduler=scheduler,
        url=URL,
        kill_on_error=None,
        save_interval=NEVER,
        job_manager_interval=job_manager_interval,
    )
    run.start()
    wait_until(lambda: len(ledger.begun()) > n_free)
    # What has been evaluated may still be on its way to the job.
    wait_until(lambda: any(entry["npoints"] == n_free for entry in said("current status")))
    return run


@in_places(("local", "mpi4py"), *OVER_NODES)
def test_a_worker_that_dies_costs_no_point(make_run, scheduler, workers):
    learner = adaptive.SequenceLearner(NodeRecorder(workers, dies_at=7), range(N_POINTS))
    run = make_run(
        [learner],
        scheduler=scheduler,
        url=URL,
        kill_on_error=None,
        # Nothing that only was evaluated at the same time may count as failed.
        runner_kwargs={"retries": 0, "raise_if_retries_exceeded": False},
    )
    run.start()
    run.wait()
    run.load_learners()
    assert learner.npoints == N_POINTS
    assert workers.with_name("died").exists()


def test_an_mpi_that_does_not_fit_its_launcher_is_named(make_run, slurm, workers):
    scheduler = SLURM(
        nodes=2, cores_per_node=2, executor_type="mpi4py", mpiexec_executable="srun --mpi=none"
    )
    learner = adaptive.SequenceLearner(NodeRecorder(workers), range(N_POINTS))
    run = make_run([learner], scheduler=scheduler, max_fails_per_job=1)
    run.start()
    with pytest.raises(MaxRestartsReachedError, match="does not fit the MPI library"):
        run.wait()
    assert list(workers.iterdir()) == []
