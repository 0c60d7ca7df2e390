"""A real Slurm, and what goes wrong with it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random

from tests.cluster.processes import is_alive, send
from tests.cluster.slurm import SlurmCluster
from tests.soak.site import Fault, some_seconds, variable
from tests.waiting import wait_until


class SlurmSite:
    """A cluster with Slurm."""

    name = "slurm"

    def __init__(self, cluster: SlurmCluster) -> None:
        self._cluster = cluster
        self._commands = ThreadPoolExecutor(1)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables with which its commands are found."""
        return self._cluster.environment

    @property
    def on_the_managers_host(self) -> Sequence[str]:
        """The beginning of a command that runs where the manager does: it is here."""
        return ()

    def jobs(self) -> list[int]:
        """Return the processes of jobs, in the order of their jobs."""
        found = []
        for pid in self._cluster.job_processes():
            with suppress(OSError):
                if b"run_learner" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append((variable(pid, "SLURM_JOB_ID"), pid))
        return [pid for _, pid in sorted(found)]

    def faults(self, random: Random, job: Callable[[], list[int]]) -> dict[str, Fault]:
        """Return the faults that it has, by name."""

        def ids() -> list[str]:
            return sorted(filter(None, (variable(pid, "SLURM_JOB_ID") for pid in job())))

        def scancel() -> Iterator[float]:
            for job_id in ids():
                self._command("scancel", job_id)
            yield 0.0

        def requeue() -> Iterator[float]:
            for job_id in ids():
                self._command("scontrol", "requeue", job_id)
            yield 0.0

        return {
            "a job is cancelled by somebody": scancel,
            "a job is requeued": requeue,
            "a node is lost": lambda: self._lose_node(random),
            "the controller stops": lambda: self._stop_controller(random),
            "the controller is down": lambda: self._end_controller(random),
        }

    def _command(self, *words: str) -> None:
        """Run a command soon: it may wait long for an answer, and other faults go on meanwhile."""
        self._commands.submit(self._cluster.run, *words, check=False)

    def _lose_node(self, random: Random) -> Iterator[float]:
        node = random.choice(self._cluster.config.node_names)
        self._cluster.kill("slurmd", "-D", "-N", node)
        state = ("scontrol", "update", f"nodename={node}")
        self._command(*state, "state=down", "reason=lost")
        yield some_seconds(random)
        self._cluster.start_node(node)
        self._command(*state, "state=resume")

    def _stop_controller(self, random: Random) -> Iterator[float]:
        self._cluster.signal(signal.SIGSTOP, "slurmctld")
        yield some_seconds(random)
        self._cluster.signal(signal.SIGCONT, "slurmctld")

    def _end_controller(self, random: Random) -> Iterator[float]:
        pids = self._cluster.daemons("slurmctld")
        send(signal.SIGCONT, pids)
        send(signal.SIGTERM, pids)  # one that is killed forgets jobs, and gives their ids to others
        wait_until(lambda: not any(map(is_alive, pids)))
        yield some_seconds(random)
        self._cluster.start_controller()

    def mend(self) -> None:
        """See to it that the cluster can go on, when no fault lasts any more."""
        self._commands.shutdown()
        for node in self._cluster.config.node_names:
            self._cluster.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)

    def left(self) -> str:
        """Return what there still is of jobs; nothing if all is over."""
        queued = self._cluster.run("squeue", "--noheader", check=False).strip()
        processes = sorted(self._cluster.job_processes())
        return f"jobs {queued}, processes {processes}" if queued or processes else ""
