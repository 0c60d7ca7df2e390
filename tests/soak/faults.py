"""What goes wrong during a soak, each thing of its own kind.

A fault that lasts is a generator: it begins, yields the seconds that it lasts,
and ends. Targets are chosen by the random numbers of the soak.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import TypeAlias

import psutil

from tests.cluster.processes import environment_of, is_alive, send
from tests.cluster.slurm import SlurmCluster
from tests.waiting import wait_until

Fault: TypeAlias = Callable[[], Iterator[float]]

#: Bytes that are written at once to fill a disk.
_BLOCKS = (1 << 20, 1 << 12, 1)


class Faults:
    """All faults.

    Parameters
    ----------
    cluster
        The cluster that suffers.
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
        cluster: SlurmCluster,
        disk: Path,
        manager: Callable[[], subprocess.Popen[bytes]],
        random: Random,
        *,
        owns_disk: bool,
        owns_network: bool,
    ) -> None:
        self._cluster = cluster
        self._disk = disk
        self._manager = manager
        self._random = random
        self._commands = ThreadPoolExecutor(1)
        self.kinds: dict[str, Fault] = {
            "a job is killed": self._kill_job,
            "a job gets SIGTERM": self._end_job,
            "a job is stopped for a while": self._stop_job,
            "a job is cancelled by somebody": self._scancel,
            "a job is requeued": self._requeue,
            "a node is lost": self._lose_node,
            "the controller stops": self._stop_controller,
            "the controller is down": self._end_controller,
            "the manager is killed": self._kill_manager,
            "the manager is stopped for a while": self._stop_manager,
        }
        if owns_disk:
            self.kinds["the disk is full"] = self._fill_disk
        if owns_network:
            self.kinds["the network is cut"] = self._cut_network

    def _seconds(self) -> float:
        return self._random.uniform(0.5, 4.0)

    # Jobs.

    def _jobs(self) -> list[int]:
        """Return the processes of jobs, in the order of their jobs."""
        found = []
        for pid in self._cluster.job_processes():
            with suppress(OSError):
                if b"run_learner" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append((_variable(pid, "SLURM_JOB_ID"), pid))
        return [pid for _, pid in sorted(found)]

    def _job(self) -> list[int]:
        jobs = self._jobs()
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
        yield self._seconds()
        send(signal.SIGCONT, job)

    def _ids(self) -> list[str]:
        return sorted(filter(None, (_variable(pid, "SLURM_JOB_ID") for pid in self._job())))

    def _scancel(self) -> Iterator[float]:
        for job_id in self._ids():
            self._command("scancel", job_id)
        yield 0.0

    def _requeue(self) -> Iterator[float]:
        for job_id in self._ids():
            self._command("scontrol", "requeue", job_id)
        yield 0.0

    # The cluster.

    def _command(self, *words: str) -> None:
        """Run a command soon: it may wait long for an answer, and other faults go on meanwhile."""
        self._commands.submit(self._cluster.run, *words, check=False)

    def _lose_node(self) -> Iterator[float]:
        node = self._random.choice(self._cluster.config.node_names)
        self._cluster.kill("slurmd", "-D", "-N", node)
        state = ("scontrol", "update", f"nodename={node}")
        self._command(*state, "state=down", "reason=lost")
        yield self._seconds()
        self._cluster.start_node(node)
        self._command(*state, "state=resume")

    def _stop_controller(self) -> Iterator[float]:
        self._cluster.signal(signal.SIGSTOP, "slurmctld")
        yield self._seconds()
        self._cluster.signal(signal.SIGCONT, "slurmctld")

    def _end_controller(self) -> Iterator[float]:
        pids = self._cluster.daemons("slurmctld")
        send(signal.SIGCONT, pids)
        send(signal.SIGTERM, pids)  # one that is killed forgets jobs, and gives their ids to others
        wait_until(lambda: not any(map(is_alive, pids)))
        yield self._seconds()
        self._cluster.start_controller()

    def mend(self) -> None:
        """See to it that the cluster can go on, when no fault lasts any more."""
        self._commands.shutdown()
        for node in self._cluster.config.node_names:
            self._cluster.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)

    # The manager.

    def _kill_manager(self) -> Iterator[float]:
        self._manager().kill()
        yield 0.0

    def _stop_manager(self) -> Iterator[float]:
        pid = self._manager().pid
        send(signal.SIGSTOP, [pid])
        yield self._seconds()
        send(signal.SIGCONT, [pid])

    # What all of them need.

    def _fill_disk(self) -> Iterator[float]:
        filler = self._disk / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in _BLOCKS:
                with suppress(OSError):
                    _write_for_ever(file.fileno(), size)
        yield self._seconds()
        filler.unlink()

    def _cut_network(self) -> Iterator[float]:
        subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
        yield self._seconds()
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def _write_for_ever(fd: int, size: int) -> None:
    while True:
        os.write(fd, bytes(size))


def _variable(pid: int, name: str) -> str:
    with suppress(psutil.Error):
        for variable in environment_of(pid):
            key, _, value = variable.decode(errors="replace").partition("=")
            if key == name:
                return value
    return ""
