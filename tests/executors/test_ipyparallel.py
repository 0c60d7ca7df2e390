"""Users connect to clusters of ipyparallel that they have started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from adaptive_scheduler.errors import ConnectionLostError, MissingPackageError
from adaptive_scheduler.executors import kinds
from adaptive_scheduler.utils import connect_to_ipyparallel
from tests.waiting import PATIENCE


@pytest.fixture
def profile(tmp_path, monkeypatch):
    """Start a cluster with two engines as users do, and return the name of its profile."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    command = [sys.executable, "-m", "ipyparallel.cluster", "start", "--n=2", "--profile=mine"]
    with (tmp_path / "output").open("wb") as output:
        cluster = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    yield "mine"
    cluster.send_signal(signal.SIGINT)  # as Ctrl-C in its terminal: it ends all others
    try:
        cluster.wait(PATIENCE)
    finally:
        cluster.kill()


@pytest.mark.system
def test_a_client_has_the_engines_that_were_awaited(profile, tmp_path):
    (tmp_path / "users_module.py").write_text("import os\nwhere = os.getpid\n")
    with connect_to_ipyparallel(
        2, profile, folder=tmp_path, client_kwargs={"timeout": PATIENCE}
    ) as client:
        pids = client[:].apply_sync(in_engine)
    assert len(set(pids)) == 2
    assert os.getpid() not in pids
    with pytest.raises(ConnectionLostError, match="has 2 of 3 engines after"):
        connect_to_ipyparallel(3, profile, timeout=0, client_kwargs={"timeout": PATIENCE})


def in_engine():
    import users_module

    return users_module.where()


def test_a_cluster_that_is_not_there_is_an_error_that_says_how_to_start_it(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    with pytest.raises(ConnectionLostError, match="ipcluster start --profile=nobody"):
        connect_to_ipyparallel(2, "nobody", timeout=0)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(kinds, "find_spec", lambda _package: None)
    with pytest.raises(MissingPackageError, match="ipyparallel"):
        connect_to_ipyparallel(2, "nobody")
