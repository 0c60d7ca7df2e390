"""Runs whose jobs are on several nodes of a PBS, which they learn from its file of nodes."""

from __future__ import annotations

import os
import signal

import adaptive
import psutil
import pytest

from adaptive_scheduler.run_folder import events
from adaptive_scheduler.scheduler import PBS
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import is_alive, records, saved_points
from tests.end_to_end.node_recorder import NodeRecorder
from tests.waiting import PATIENCE, wait_until

N_POINTS = 12
#: Only a job's end makes it save.
NEVER = 3600


@pytest.fixture(autouse=True)
def two_nodes(pbs, monkeypatch):
    pbs.set(nodes={"node-a": 2, "node-b": 2}, kill_delay=20.0)
    monkeypatch.setattr(PBS, "min_poll_interval", 0.2)


@pytest.fixture
def scheduler(pbs):
    """Return a function that makes a scheduler whose jobs have two nodes."""

    def scheduler(executor="mpi4py", **keywords):
        # Nobody has to let these nodes in: they are this machine.
        ssh = f"HYDRA_LAUNCHER_EXEC='{pbs.folder / 'bin' / 'ssh'}'"
        keywords = {"cores_per_node": 2, "extra_env_vars": [ssh], **keywords}
        return PBS(4, executor_type=executor, **keywords)

    return scheduler


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(("mpi4py", 3), id="mpi4py"),
        pytest.param(("dask", 4), id="dask"),
        pytest.param(("ipyparallel", 3), id="ipyparallel"),
    ],
)
def test_evaluations_are_spread_over_the_nodes_that_pbs_names(
    pbs,
    scheduler,
    make_run,
    here,
    place,
):
    executor, n_workers = place
    workers = here / "workers"
    workers.mkdir()
    learner = adaptive.SequenceLearner(NodeRecorder(workers, n_meeting=n_workers), range(N_POINTS))
    run = make_run([learner], scheduler=scheduler(executor), url="tcp://127.0.0.1:*")
    run.start()
    run.wait(timeout=PATIENCE)
    run.load_learners()
    assert learner.done()
    assert {path.name.partition(".")[0] for path in workers.iterdir()} == {"node-a", "node-b"}
    assert pbs.job("1.pbs-head")["select"] == "2:ncpus=2:mpiprocs=2"


def launcher_of(pid: int) -> int:
    """Return the process that has taken the place of the job's script, which is warned."""
    return next(p.pid for p in psutil.Process(pid).parents() if p.name() == "mpiexec.hydra")


@pytest.mark.parametrize("how", ["qdel", "the warning before the walltime"])
def test_a_job_on_several_nodes_saves_before_it_ends(
    scheduler,
    make_run,
    ledger,
    gate,
    how,
):
    function = Noted(ledger.path, 0, free=3, gate=gate)
    learner = adaptive.SequenceLearner(function, list(range(N_POINTS)))
    mine = scheduler(walltime=600)
    run = make_run([learner], scheduler=mine, url="tcp://127.0.0.1:*", save_interval=NEVER)
    run.start()
    wait_until(lambda: len(ledger.begun()) == 6)
    if how == "qdel":
        mine.cancel_ids(list(mine.queue()))
    else:
        os.kill(launcher_of(ledger.begun()[0].job_pid), signal.SIGUSR1)
    wait_until(lambda: not is_alive(ledger.begun()[0].job_pid))
    assert saved_points(learner, run.fnames[0]) == {entry.x for entry in ledger.returned()}
    assert records(events.Failed) == []
    gate.touch()
    run.wait(timeout=PATIENCE)
    assert saved_points(learner, run.fnames[0]) == set(range(N_POINTS))
