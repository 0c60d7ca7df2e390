"""The cluster of the tests."""

from __future__ import annotations

import pytest

from tests.cluster.packages import HOW_TO_GET_THEM, installed_programs
from tests.cluster.slurm import temporary_cluster


@pytest.fixture(scope="session")
def slurm_cluster():
    """Return a cluster with four nodes, which `slurm` gives to one test after another."""
    if not installed_programs().are_complete():
        pytest.fail(HOW_TO_GET_THEM, pytrace=False)
    with temporary_cluster() as cluster:
        yield cluster


@pytest.fixture
def slurm(slurm_cluster, monkeypatch):
    """Return the cluster, as new, and let the test's commands reach it."""
    for name, value in slurm_cluster.environment.items():
        monkeypatch.setenv(name, value)
    yield slurm_cluster
    try:
        slurm_cluster.check_alive("munged", "slurmctld")
    finally:
        slurm_cluster.renew()
