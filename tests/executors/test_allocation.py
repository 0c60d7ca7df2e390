"""Jobs use the cores that they were given, not those of the host."""

from __future__ import annotations

import pytest

from adaptive_scheduler.executors.allocation import given_cores


@pytest.mark.parametrize(
    ("variables", "cores"),
    [
        ({"SLURM_CPUS_PER_TASK": "8", "SLURM_TASKS_PER_NODE": "1"}, 8),
        ({"SLURM_CPUS_PER_TASK": "2", "SLURM_TASKS_PER_NODE": "4"}, 8),
        ({"SLURM_JOB_CPUS_PER_NODE": "64"}, 3),  # an exclusive node is not all for evaluations
        ({"NCPUS": "6"}, 6),
        ({"NCPUS": ""}, 3),
        ({}, 3),
    ],
)
@pytest.mark.parametrize("executor", ["process-pool", "loky", "sequential"])
def test_executors_on_one_node_use_the_cores_of_their_task(executor, variables, cores):
    assert given_cores(3, executor, variables) == cores


@pytest.mark.parametrize(
    ("tasks_per_node", "cores"), [("2(x2)", 4), ("2(x3),1", 7), ("5", 5), ("", 3)]
)
@pytest.mark.parametrize("executor", ["mpi4py", "dask", "ipyparallel"])
def test_executors_over_nodes_use_all_tasks(executor, tasks_per_node, cores):
    variables = {"SLURM_TASKS_PER_NODE": tasks_per_node, "SLURM_CPUS_PER_TASK": "4"}
    assert given_cores(3, executor, variables) == cores


def test_pbs_names_a_node_for_each_process(tmp_path):
    nodes = tmp_path / "nodes"
    nodes.write_text("a\na\nb\nb\n")
    assert given_cores(3, "dask", {"PBS_NODEFILE": str(nodes), "NCPUS": "2"}) == 4
    assert given_cores(3, "dask", {"PBS_NODEFILE": str(tmp_path / "none")}) == 3


def test_a_job_of_local_inside_of_another_is_not_that_job():
    variables = {"ADAPTIVE_SCHEDULER_LOCAL_JOB_ID": "1_0", "SLURM_CPUS_PER_TASK": "64"}
    assert given_cores(3, "process-pool", variables) == 3
