"""Fixtures for tests of schedulers."""

from __future__ import annotations

import pytest

from adaptive_scheduler.scheduler import PBS
from tests.scheduler.contract import HOLD

#: What a login shell of the fake PBS reads first.
_PROFILE = """\
sleep() { until [ -e listens ]; do command sleep 0.05; done; command sleep "$1"; }
export -f sleep
"""


@pytest.fixture
def folder(tmp_path):
    """Return where jobs work; it does not exist yet."""
    return tmp_path / "work"


@pytest.fixture
def scheduler(pbs):
    """Return a scheduler whose server is the fake PBS of the test."""
    return PBS(1, signal_before_end=0)


@pytest.fixture
def listening(pbs):
    """Return a script that notes a warning, and ends; no time passes before it listens."""
    (pbs.folder / "home" / ".bash_profile").write_text(_PROFILE)
    return f"trap 'touch warned; exit' USR1; touch listens; {HOLD}"
