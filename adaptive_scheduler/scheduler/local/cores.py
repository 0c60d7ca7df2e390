"""How many cores this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")


def usable_cores(*, cgroups: Path = _CGROUPS, own_cgroups: Path = _OWN_CGROUPS) -> int:
    """Return the number of cores that this process may use, at least 1.

    The machine may have more: the process may be bound to some of them
    (affinity), or a container may allow only a share of their time (cgroup).
    A share that is not a whole number is rounded down.
    """
    bound_to = len(os.sched_getaffinity(0))
    shares = [int(share) for share in _shares(cgroups, own_cgroups)]
    return max(1, min([bound_to, *shares]))


def _shares(cgroups: Path, own_cgroups: Path) -> Iterator[float]:
    """Yield each limit, in cores, of the control groups around this process."""
    for line in _read(own_cgroups).splitlines():
        _, controllers, inner = line.split(":", 2)
        if not controllers:
            for folder in _from_inner_to_outer(cgroups, inner):
                yield from _share(*_read(folder / "cpu.max").split())
        elif "cpu" in controllers.split(","):
            for folder in _from_inner_to_outer(cgroups / controllers, inner):
                quota = _read(folder / "cpu.cfs_quota_us")
                yield from _share(quota.strip(), _read(folder / "cpu.cfs_period_us").strip())


def _from_inner_to_outer(mount: Path, inner: str) -> list[Path]:
    # In a container the path may be that of the host: then only the mount is there.
    folder = mount / inner.lstrip("/")
    return [path for path in (folder, *folder.parents) if path.is_relative_to(mount)]


def _share(quota: str = "", period: str = "") -> Iterator[float]:
    if quota.isdigit() and period.isdigit() and int(period) > 0:
        yield int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
