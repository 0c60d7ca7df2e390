"""Find the processes of a cluster and end them, and no others."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from tests.waiting import PATIENCE

_PAUSE = 0.02


def environment_of(pid: int) -> list[bytes]:
    """Return the variables with which a process was started; none if it is gone or not ours."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def find(is_meant: Callable[[list[bytes]], bool]) -> set[int]:
    """Return the processes whose environment is meant, and all their children, but not us."""
    entries = (path.name for path in Path("/proc").iterdir() if path.name.isdigit())
    found = {int(name) for name in entries if is_meant(environment_of(int(name)))}
    for pid in list(found):
        with suppress(psutil.NoSuchProcess):
            found |= {child.pid for child in psutil.Process(pid).children(recursive=True)}
    return {pid for pid in found if pid != os.getpid() and is_alive(pid)}


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be noticed does not."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def send(signum: signal.Signals, pids: Iterable[int]) -> None:
    """Send a signal to processes; some may have ended."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signum)


def kill_all(found: Callable[[], set[int]]) -> None:
    """Kill what is found until nothing is: a process may start another one meanwhile."""
    deadline = time.monotonic() + PATIENCE
    while pids := found():
        if time.monotonic() > deadline:
            raise TimeoutError(f"These processes can't be killed: {sorted(pids)}.")
        send(signal.SIGKILL, pids)
        time.sleep(_PAUSE)
