"""What an executor needs is known before any job is submitted."""

from __future__ import annotations

import os
from typing import get_args

import pytest

from adaptive_scheduler.errors import InvalidInputError, MissingPackageError
from adaptive_scheduler.executors import kinds
from adaptive_scheduler.executors.kinds import EXECUTOR_TYPES, given_cores
from adaptive_scheduler.run_learner import make_parser
from adaptive_scheduler.scheduler import SLURM, Local

SPANNING = sorted(name for name, kind in kinds.KINDS.items() if kind.spans_nodes)
DIRECTED = sorted(name for name, kind in kinds.KINDS.items() if kind.n_reserved)


def test_every_executor_is_of_some_kind():
    assert set(kinds.KINDS) == set(get_args(EXECUTOR_TYPES))


@pytest.mark.parametrize("name", sorted(kinds.ON_ONE_NODE))
def test_what_uses_one_node_refuses_more(name):
    with pytest.raises(InvalidInputError, match="one node only"):
        SLURM(nodes=2, cores_per_node=2, executor_type=name)


@pytest.mark.parametrize("name", DIRECTED)
def test_one_core_is_not_enough_where_one_directs_the_others(name):
    scheduler = Local(cores=1, executor_type=name)
    with pytest.raises(InvalidInputError, match="at least 2 cores"):
        scheduler.check(scheduler.resources(0))


@pytest.mark.parametrize("name", SPANNING)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(name, monkeypatch):
    monkeypatch.setattr(kinds, "find_spec", lambda _package: None)
    scheduler = Local(cores=2, max_cores=2, executor_type=name)
    with pytest.raises(
        MissingPackageError, match=rf"adaptive-scheduler\[{kinds.KINDS[name].extra}\]"
    ):
        scheduler.check(scheduler.resources(0))


def test_of_another_python_nothing_is_known(monkeypatch):
    monkeypatch.setattr(kinds, "find_spec", lambda _package: None)
    scheduler = Local(
        cores=2, max_cores=2, executor_type="mpi4py", python_executable="/elsewhere/python"
    )
    scheduler.check(scheduler.resources(0))


@pytest.fixture(autouse=True)
def bound_to(monkeypatch):
    """Have a machine with 64 cores, and return a function that binds this process to some."""

    def bind(n_cores):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(n_cores)))

    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    bind(64)
    return bind


@pytest.mark.parametrize("executor", get_args(EXECUTOR_TYPES))
def test_what_the_scheduler_tells_wins_over_what_was_asked(executor):
    assert given_cores(3, 8, executor) == 8
    assert given_cores(3, 0, executor) == 3


@pytest.mark.parametrize("told", [0, 4])
def test_a_job_that_is_bound_to_fewer_cores_uses_no_more(bound_to, told):
    bound_to(2)
    assert given_cores(4, told, "process-pool") == 2
    bound_to(8)
    assert given_cores(4, told, "process-pool") == 4


def test_what_one_node_is_bound_to_says_nothing_of_the_others(bound_to):
    bound_to(1)
    assert given_cores(3, 4, "dask") == 4
    assert given_cores(3, 0, "dask") == 1


def test_who_says_that_a_machine_has_more_cores_than_it_has_is_believed(bound_to, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    bound_to(2)
    assert given_cores(3, 0, "process-pool") == 3


@pytest.mark.parametrize(
    ("text", "cores"), [("8", 8), (" 8\n", 8), ("", 0), ("0", 0), ("many", 0), ("-3", 0)]
)
def test_a_scheduler_that_tells_no_number_tells_nothing(text, cores):
    arguments = ["--run-folder=x", "--job-id=1", "--number=0", f"--given-cores={text}"]
    assert make_parser().parse_args(arguments).given_cores == cores
