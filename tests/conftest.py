"""Fixtures for all tests."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import hypothesis
import pytest

from adaptive_scheduler.run_folder.layout import RunFolder
from tests.cluster.fixtures import slurm, slurm_cluster  # noqa: F401  for all tests
from tests.cluster.pbs.fixtures import pbs  # noqa: F401  for all tests
from tests.waiting import wait_until

pytest_plugins = ["tests.tiers"]

pytest.register_assert_rewrite("tests.scheduler.contract")


def pytest_configure(config):
    # Where tests run in the background, a shell has them ignore Ctrl-C; programs under test
    # would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _choose_how_many_examples()


def _choose_how_many_examples():
    """Try few examples in each property test, and many on build servers."""
    # No test may fail because the machine is busy.
    patient = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
    hypothesis.settings.register_profile("few", max_examples=20, **patient)
    hypothesis.settings.register_profile("many", max_examples=100, **patient)
    default = "many" if os.environ.get("CI") else "few"
    hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", default))


@pytest.fixture
def run_folder(tmp_path):
    """Return the folder of a run that has not begun."""
    folder = RunFolder.at(tmp_path / "sweep-run")
    folder.create()
    return folder


@pytest.fixture
def local_spool(tmp_path, monkeypatch):
    """Give the test a `Local` of its own; end all that it has started there."""
    spool = tmp_path / "spool"
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCAL_DIR", str(spool))
    yield spool
    wait_until(lambda: not _kill_all_with(f"ADAPTIVE_SCHEDULER_LOCAL_DIR={tmp_path}/"))


def _kill_all_with(variable: str) -> list[int]:
    """Kill the processes with a variable that begins so; return which there were."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    found = [pid for pid in pids if pid != os.getpid() and _has(pid, variable)]
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def _has(pid: int, variable: str) -> bool:
    """Return whether a process began with such a variable; not if it is gone or not ours."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return b"\0" + variable.encode() in b"\0" + environment
