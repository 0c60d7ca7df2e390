"""The variables of a job tell what it was given, which may differ from what it has asked for."""

from __future__ import annotations

import subprocess

import pytest

from adaptive_scheduler.scheduler import PBS, SLURM, Local

pytestmark = pytest.mark.system


def told(scheduler, variables):
    """Return the cores that a job with these variables is told of."""
    scheduler.python_executable = "/bin/echo"
    options = {"run_folder": "/run", "cores": 3}
    said = subprocess.run(
        ["bash"],
        input=scheduler.job_script(options),
        env={"PATH": "/usr/bin:/bin", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    words = said.stdout.split()
    found = [word for word in words if word.startswith("--given-cores=")]
    return int(found[0].partition("=")[2] or 0) if found else None


@pytest.mark.parametrize(
    ("variables", "cores"),
    [
        ({"SLURM_CPUS_PER_TASK": "8", "SLURM_TASKS_PER_NODE": "1"}, 8),
        ({"SLURM_CPUS_PER_TASK": "2", "SLURM_TASKS_PER_NODE": "4"}, 8),
        ({"SLURM_CPUS_PER_TASK": "2", "SLURM_TASKS_PER_NODE": "4(x2),1"}, 8),
        ({"SLURM_CPUS_PER_TASK": "2"}, 2),
        ({"SLURM_JOB_CPUS_PER_NODE": "64"}, 0),  # an exclusive node is not all for evaluations
        ({"SLURM_CPUS_PER_TASK": "2", "SLURM_TASKS_PER_NODE": "many"}, 0),
        ({}, 0),
    ],
)
@pytest.mark.parametrize("executor", ["process-pool", "loky", "sequential"])
def test_slurm_tells_executors_on_one_node_the_cores_of_their_task(executor, variables, cores):
    assert told(SLURM(cores=3, executor_type=executor), variables) == cores


@pytest.mark.parametrize(
    ("tasks_per_node", "slots"),
    [("2(x2)", 4), ("2(x3),1", 7), ("1,2(x3),4(x2)", 15), ("5", 5), ("", 0), ("many(x", 0)],
)
@pytest.mark.parametrize("executor", ["dask", "ipyparallel"])
def test_slurm_tells_executors_over_nodes_all_tasks(executor, tasks_per_node, slots):
    variables = {"SLURM_TASKS_PER_NODE": tasks_per_node, "SLURM_CPUS_PER_TASK": "4"}
    assert told(SLURM(cores=3, executor_type=executor), variables) == slots


@pytest.mark.parametrize(("variables", "cores"), [({"NCPUS": "6"}, 6), ({"NCPUS": ""}, 0), ({}, 0)])
def test_pbs_tells_executors_on_one_node_their_cores(variables, cores):
    assert told(PBS(3), variables) == cores


def test_pbs_names_a_node_for_each_process(tmp_path):
    nodes = tmp_path / "nodes"
    nodes.write_text("a\na\nb\nb\n")
    scheduler = PBS(3, executor_type="dask", cores_per_node=2)
    assert told(scheduler, {"PBS_NODEFILE": str(nodes), "NCPUS": "2"}) == 4
    assert told(scheduler, {"PBS_NODEFILE": str(tmp_path / "none")}) == 0
    assert told(scheduler, {}) == 0


@pytest.mark.parametrize("executor", ["process-pool", "dask"])
def test_a_job_of_local_inside_of_another_is_not_that_job(executor):
    variables = {"SLURM_CPUS_PER_TASK": "64", "SLURM_TASKS_PER_NODE": "9", "NCPUS": "64"}
    assert told(Local(3, executor_type=executor), variables) is None
