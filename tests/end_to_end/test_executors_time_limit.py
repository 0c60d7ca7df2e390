"""Jobs over several nodes whose time is over in the middle."""

from __future__ import annotations

from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler.executors.kinds import KINDS
from adaptive_scheduler.scheduler import SLURM
from tests.cluster.slurm import ClusterConfig, temporary_cluster
from tests.end_to_end.ledger import Ledger, Noted
from tests.end_to_end.looking import processes_in, said, saved_points
from tests.waiting import wait_until

EXECUTORS = [name for name, kind in KINDS.items() if kind.spans_nodes and name != "dask-mpi"]
N_POINTS, N_FREE = 12, 6
NEVER = 3600


@pytest.fixture
def cluster(monkeypatch):
    """Have a cluster with two nodes for each executor."""
    with temporary_cluster(ClusterConfig(nodes=2 * len(EXECUTORS))) as cluster:
        for name, value in cluster.environment.items():
            monkeypatch.setenv(name, value)
        yield cluster


def test_a_time_limit_in_the_middle_loses_no_point_and_leaves_nothing(
    cluster, make_run, here, gate, monkeypatch
):
    monkeypatch.setenv("IPYTHONDIR", str(here / "ipython"))
    runs = {executor: start(make_run, executor, gate) for executor in EXECUTORS}
    wait_until(lambda: all(map(is_in_the_middle, runs)))
    # On a busy machine the time of a first job may be over before that.
    n_jobs = {e: len(said("started", logs(e))) for e in runs}
    wait_until(lambda: all(n_told_to_end(e) >= n for e, n in n_jobs.items()))
    for executor, run in runs.items():
        sequence = adaptive.SequenceLearner(Noted(ledger(executor).path), range(N_POINTS))
        assert ledger(executor).points(0) == saved_points(sequence, data(executor))
        run.cancel()  # before another job goes on
    wait_until(lambda: not processes_in(here))
    wait_until(lambda: not any(Path(f"{e}-run/scratch").exists() for e in runs))
    assert not Path("ipython").exists()


def start(make_run, executor, gate):
    """Start a run whose learner goes no further than to its middle."""
    function = Noted(ledger(executor).path, free=N_FREE, gate=gate)
    run = make_run(
        [adaptive.SequenceLearner(function, range(N_POINTS))],
        [str(data(executor))],
        job_name=executor,
        # No warning, which only the job itself would get, but what all of its processes get.
        scheduler=SLURM(
            nodes=2, cores_per_node=2, executor_type=executor, time=60, signal_before_end=0
        ),
        url="tcp://127.0.0.1:*",  # the manager is on the same machine as all nodes
        kill_on_error=None,
        save_interval=NEVER,
    )
    run.start()
    return run


def is_in_the_middle(executor):
    """Return whether all that may be evaluated has come back, and more has begun."""
    points = [line["npoints"] for line in said("current status", logs(executor))]
    return N_FREE in points and len(ledger(executor).begun()) > N_FREE


def n_told_to_end(executor):
    """Return how many jobs were told to end, and have come to their end."""
    return min(len(said(event, logs(executor))) for event in ("told to end", "ends"))


def ledger(executor):
    return Ledger(Path(f"{executor}.ledger").absolute())


def logs(executor):
    return Path(f"{executor}-run/logs")


def data(executor):
    return Path("data", f"{executor}.pickle")
