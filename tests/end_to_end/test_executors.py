"""Each executor that spans nodes takes learners to their goals, over nodes and at home."""

from __future__ import annotations

import json
import os
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler.errors import MaxRestartsReachedError
from adaptive_scheduler.scheduler import SLURM, Local
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import saved_points
from tests.end_to_end.placed import Placed, only_prepared, prepare
from tests.waiting import wait_until

#: They wait for clusters to start: `make slow` runs them.
pytestmark = pytest.mark.slow

EXECUTORS = ["mpi4py", "dask", "ipyparallel"]
N_POINTS = 12
NEVER = 3600
DATA = Path("data/0.pickle")

each_executor = pytest.mark.parametrize("executor", EXECUTORS)


#: A cluster of dask or ipyparallel over two nodes takes too long to start for each learner.
PLACES = [*(("local", executor) for executor in EXECUTORS), ("slurm", "mpi4py")]


@pytest.fixture
def place(request):
    """Return a scheduler for an executor, at home or on two nodes."""
    where, executor = request.param
    if where == "local":
        return Local(3, max_cores=3, executor_type=executor)
    request.getfixturevalue("slurm")
    return SLURM(nodes=2, cores_per_node=2, executor_type=executor)


def enough(learner):
    return learner.npoints >= N_POINTS


def events(event):
    lines = [line for log in Path("run-run/logs").glob("*.log") for line in log.open()]
    return [entry for entry in map(json.loads, lines) if entry["event"] == event]


def processes_of(folder):
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = each.read_bytes()
        except OSError:
            continue
        if int(each.parent.name) != os.getpid() and os.fsencode(folder / "run-run") in command:
            found.append(command)
    return found


@pytest.mark.parametrize("place", PLACES, indirect=True, ids="-".join)
def test_learners_reach_their_goals_on_all_nodes(make_run, place, here):
    scheduler = place
    is_local = isinstance(scheduler, Local)
    workers = here / "workers"
    workers.mkdir()
    function = Placed(workers, n_meeting=2 if is_local else 3, raises_at=5)
    learners = [
        adaptive.SequenceLearner(function, range(N_POINTS + 1)),
        adaptive.Learner1D(function, (-1, 1)),
        adaptive.BalancingLearner([adaptive.Learner1D(function, (0, b)) for b in (1, 2)]),
    ]
    run = make_run(
        learners,
        ["data/0", "data/1", ["data/2", "data/3"]],
        scheduler=scheduler,
        url="tcp://127.0.0.1:*",
        goal=enough,
        max_simultaneous_jobs=1,
        runner_kwargs={"retries": 2, "raise_if_retries_exceeded": False},
    )
    run.start()
    run.wait()
    run.load_learners()
    assert all(map(enough, learners))
    nodes = {path.name.partition(".")[0] for path in workers.iterdir()}
    assert len(nodes) == (1 if is_local else 2)
    tries = [x for path in workers.iterdir() for x in path.read_text().split()].count("5")
    assert 1 <= tries <= 3  # the goal may be reached before the last one
    assert all(entry["start_up_time"] > 0 for entry in events("first result"))
    wait_until(lambda: not processes_of(here))
    assert not Path("run-run/scratch").exists()


@each_executor
def test_a_job_that_is_cancelled_saves_what_came_back(make_run, executor, ledger, gate):
    n_free = 6
    sequence = adaptive.SequenceLearner(Noted(ledger.path, free=n_free, gate=gate), range(N_POINTS))
    scheduler = Local(3, max_cores=3, executor_type=executor)
    run = make_run(
        [sequence],
        scheduler=scheduler,
        save_interval=NEVER,
        job_manager_interval=NEVER,
    )
    run.start()
    wait_until(lambda: len(ledger.begun()) > n_free + 1)
    scheduler.cancel(["run-0"], with_progress_bar=False)
    assert ledger.points(0) == saved_points(sequence, DATA)


@each_executor
def test_initializers_run_on_every_worker_before_the_first_point(make_run, executor):
    learner = adaptive.SequenceLearner(only_prepared, range(N_POINTS))
    scheduler = Local(3, max_cores=3, executor_type=executor)
    run = make_run([learner], scheduler=scheduler, initializers=[prepare], max_fails_per_job=1)
    run.start()
    run.wait()
    run.load_learners()
    assert learner.npoints == N_POINTS


@each_executor
def test_a_worker_that_dies_costs_no_point(make_run, slurm, executor, here):
    workers = here / "workers"
    workers.mkdir()
    learner = adaptive.SequenceLearner(Placed(workers, dies_at=7), range(N_POINTS))
    scheduler = SLURM(nodes=2, cores_per_node=2, executor_type=executor)
    run = make_run([learner], scheduler=scheduler, url="tcp://127.0.0.1:*", kill_on_error=None)
    run.start()
    run.wait()
    run.load_learners()
    assert learner.npoints == N_POINTS
    assert (here / "died").exists()


def test_an_mpi_that_does_not_fit_its_launcher_is_named(make_run, slurm, here):
    workers = here / "workers"
    workers.mkdir()
    scheduler = SLURM(
        nodes=2, cores_per_node=2, executor_type="mpi4py", mpiexec_executable="srun --mpi=none"
    )
    learner = adaptive.SequenceLearner(Placed(workers), range(N_POINTS))
    run = make_run([learner], scheduler=scheduler, max_fails_per_job=1)
    run.start()
    with pytest.raises(MaxRestartsReachedError, match="does not fit the MPI library"):
        run.wait()
    assert list(workers.iterdir()) == []
