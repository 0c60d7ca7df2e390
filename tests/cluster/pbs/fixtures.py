"""The fake PBS for all tests."""

from __future__ import annotations

import pytest

from tests.cluster.pbs.cluster import FakePBS


@pytest.fixture
def pbs(tmp_path, monkeypatch):
    """Return a PBS of the test's own, with two cores, and its commands on PATH."""
    fake = FakePBS(tmp_path / "pbs", kill_delay=5.0)
    monkeypatch.setenv("PATH", fake.path)
    yield fake
    fake.stop()
