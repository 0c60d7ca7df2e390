"""Jobs use the cores that they were given, not those of the host."""

from __future__ import annotations

import os

import pytest

from adaptive_scheduler.executors.allocation import given_cores


@pytest.fixture(autouse=True)
def bound_to(monkeypatch):
    """Have a machine with 64 cores, and return a function that binds this process to some."""

    def bind(n_cores):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(n_cores)))

    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    bind(64)
    return bind


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


@pytest.mark.parametrize(
    "variables", [{}, {"SLURM_CPUS_PER_TASK": "4"}, {"NCPUS": "4"}, {"PBS_NODEFILE": "none"}]
)
@pytest.mark.parametrize("local", [{}, {"ADAPTIVE_SCHEDULER_LOCAL_JOB_ID": "1_0"}])
def test_a_job_that_is_bound_to_fewer_cores_uses_no_more(bound_to, variables, local):
    bound_to(2)
    assert given_cores(4, "process-pool", variables | local) == 2
    bound_to(8)
    assert given_cores(4, "process-pool", variables | local) == 4


def test_what_one_node_is_bound_to_says_nothing_of_the_others(bound_to):
    bound_to(1)
    assert given_cores(3, "dask", {"SLURM_TASKS_PER_NODE": "2(x2)"}) == 4
    assert given_cores(3, "dask", {"ADAPTIVE_SCHEDULER_LOCAL_JOB_ID": "1_0"}) == 1


def test_who_says_that_a_machine_has_more_cores_than_it_has_is_believed(bound_to, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    bound_to(2)
    assert given_cores(3, "process-pool", {"ADAPTIVE_SCHEDULER_LOCAL_JOB_ID": "1_0"}) == 3
