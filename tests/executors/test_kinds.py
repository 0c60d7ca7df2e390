"""What an executor needs is known before any job is submitted."""

from __future__ import annotations

from typing import get_args

import pytest

from adaptive_scheduler.errors import InvalidInputError, MissingPackageError
from adaptive_scheduler.executors import kinds
from adaptive_scheduler.executors.kinds import EXECUTOR_TYPES
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
