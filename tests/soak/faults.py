"""What goes wrong during a soak, each thing of its own kind, on whatever scheduler.

A fault that lasts is a generator: it begins, yields the seconds that it lasts,
and ends. Targets are chosen by the random numbers of the soak.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

from tests.cluster.processes import send
from tests.soak.site import Fault, Site, some_seconds

#: Bytes that are written at once to fill a disk.
_BLOCKS = (1 << 20, 1 << 12, 1)


class Faults:
    """All faults.

    Parameters
    ----------
    site
        The scheduler that suffers, and its jobs.
    disk
        The folder of data and run; a file system of its own where `owns_disk`.
    manager
        Returns the process of the manager.
    random
        Chooses.
    owns_disk, owns_network
        Whether disk and network are this soak's alone, so that they may be
        filled and cut.
    """

    def __init__(
        self,
        site: Site,
        disk: Path,
        manager: Callable[[], subprocess.Popen[bytes]],
        random: Random,
        *,
        owns_disk: bool,
        owns_network: bool,
    ) -> None:
        self._site = site
        self._disk = disk
        self._manager = manager
        self._random = random
        self.kinds: dict[str, Fault] = {
            "a job is killed": self._kill_job,
            "a job gets SIGTERM": self._end_job,
            "a job is stopped for a while": self._stop_job,
            "the manager is killed": self._kill_manager,
            "the manager is stopped for a while": self._stop_manager,
            **site.faults(random, self._job),
        }
        if owns_disk:
            self.kinds["the disk is full"] = self._fill_disk
        if owns_network:
            self.kinds["the network is cut"] = self._cut_network

    # Jobs.

    def _job(self) -> list[int]:
        jobs = self._site.jobs()
        return [self._random.choice(jobs)] if jobs else []

    def _kill_job(self) -> Iterator[float]:
        send(signal.SIGKILL, self._job())
        yield 0.0

    def _end_job(self) -> Iterator[float]:
        send(signal.SIGTERM, self._job())
        yield 0.0

    def _stop_job(self) -> Iterator[float]:
        job = self._job()
        send(signal.SIGSTOP, job)
        yield some_seconds(self._random)
        send(signal.SIGCONT, job)

    # The manager.

    def _kill_manager(self) -> Iterator[float]:
        self._manager().kill()
        yield 0.0

    def _stop_manager(self) -> Iterator[float]:
        pid = self._manager().pid
        send(signal.SIGSTOP, [pid])
        yield some_seconds(self._random)
        send(signal.SIGCONT, [pid])

    # What all of them need.

    def _fill_disk(self) -> Iterator[float]:
        filler = self._disk / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in _BLOCKS:
                with suppress(OSError):
                    _write_for_ever(file.fileno(), size)
        yield some_seconds(self._random)
        filler.unlink()

    def _cut_network(self) -> Iterator[float]:
        subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
        yield some_seconds(self._random)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def _write_for_ever(fd: int, size: int) -> None:
    while True:
        os.write(fd, bytes(size))
