"""Users connect to clusters of ipyparallel that they have started."""

from __future__ import annotations

import pytest

from adaptive_scheduler.errors import ConnectionLostError, MissingPackageError
from adaptive_scheduler.executors import kinds
from adaptive_scheduler.utils import connect_to_ipyparallel


def test_a_cluster_that_is_not_there_is_an_error_that_says_how_to_start_it(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    with pytest.raises(ConnectionLostError, match="ipcluster start --profile=nobody"):
        connect_to_ipyparallel(2, "nobody", timeout=0)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(kinds, "find_spec", lambda _package: None)
    with pytest.raises(MissingPackageError, match="ipyparallel"):
        connect_to_ipyparallel(2, "nobody")
