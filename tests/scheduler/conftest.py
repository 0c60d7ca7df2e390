"""Fixtures for tests of schedulers."""

from __future__ import annotations

import pytest

from adaptive_scheduler.scheduler import PBS


@pytest.fixture
def folder(tmp_path):
    """Return where jobs work; it does not exist yet."""
    return tmp_path / "work"


@pytest.fixture
def scheduler(pbs):
    """Return a scheduler whose server is the fake PBS of the test."""
    return PBS(1, signal_before_end=0)
