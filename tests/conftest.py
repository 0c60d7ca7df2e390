"""Fixtures for all tests."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.waiting import wait_until

pytest.register_assert_rewrite("tests.scheduler.contract")


@pytest.fixture
def local_spool(tmp_path, monkeypatch):
    """Give the test a `Local` of its own; end all that it has started there."""
    spool = tmp_path / "spool"
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCAL_DIR", str(spool))
    yield spool
    wait_until(lambda: not _kill_all_with(f"ADAPTIVE_SCHEDULER_LOCAL_DIR={spool}"))


def _kill_all_with(variable: str) -> list[int]:
    """Kill the processes that have `variable` in their environment; return which there were."""
    found = [pid for pid in _other_processes() if variable.encode() in _environment(pid)]
    # A daemon that is still there would see to it that others come to their end.
    for pid in sorted(found):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def _other_processes() -> list[int]:
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]


def _environment(pid: int) -> list[bytes]:
    """Return the environment with which a process began; [] if it is gone or not ours."""
    if pid == os.getpid():
        return []
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
