"""What the doctor's tiny job finds out on its node; jobs import this module."""

from __future__ import annotations

import os
import platform
import socket
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

#: Seconds for an address to answer.
_PATIENCE = 5.0
#: Packages whose versions should be the same where the manager is and where jobs are.
_PACKAGES = ("adaptive", "adaptive-scheduler", "cloudpickle", "numpy")


def examine(folder: str) -> dict[str, Any]:
    """Return what this process sees of itself, of a folder, and of the manager of a run there.

    Parameters
    ----------
    folder
        Where `leave_marker` was called, and a run is managed.
    """
    return {
        **environment(),
        "time": time.time(),
        "cores": len(os.sched_getaffinity(0)),
        "marker": _read_marker(Path(folder)),
        "addresses": {address: _reach(address) for address in _addresses(Path(folder))},
    }


def environment() -> dict[str, Any]:
    """Return which Python this is, and where."""
    return {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def leave_marker(folder: Path, text: str) -> None:
    """Write what jobs should see in the folder."""
    (folder / "marker").write_text(text)


def _read_marker(folder: Path) -> str | None:
    try:
        return (folder / "marker").read_text()
    except OSError:
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _addresses(folder: Path) -> tuple[str, ...]:
    from adaptive_scheduler.protocol.curve import Connection

    for path in folder.glob("*-run/connection.json"):
        return Connection.read(path).addresses
    return ()


def _reach(address: str) -> str:
    """Return why an address of the manager can't be reached; nothing if it can."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE):
            return ""
    except OSError as error:
        return str(error)
