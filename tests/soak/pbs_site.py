"""A PBS that answers like a real one, and what goes wrong with it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from random import Random

from tests.cluster.pbs.cluster import FakePBS
from tests.cluster.processes import find
from tests.soak.site import Fault, some_seconds, variable

#: Room for the jobs of a soak, when one node is lost, too.
_NODES = {f"node-{i}": 2 for i in range(5)}


class PbsSite:
    """The fake PBS."""

    name = "pbs"

    def __init__(self, pbs: FakePBS) -> None:
        self._pbs = pbs
        pbs.set(nodes=_NODES)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables with which its commands are found."""
        return {"PATH": self._pbs.path}

    @property
    def on_the_managers_host(self) -> Sequence[str]:
        """The beginning of a command that runs where the manager does: it is here."""
        return ()

    def jobs(self) -> list[int]:
        """Return the processes of jobs, in the order of their jobs."""
        mark = f"FAKE_PBS={self._pbs.folder}".encode()
        found = []
        for pid in find(lambda environment: mark in environment):
            with suppress(OSError):
                if b"run_learner" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append((variable(pid, "PBS_JOBID"), pid))
        return [pid for _, pid in sorted(found)]

    def faults(self, random: Random, job: Callable[[], list[int]]) -> dict[str, Fault]:
        """Return the faults that it has, by name."""

        def on_a_job(strike: Callable[[str], object]) -> Fault:
            def fault() -> Iterator[float]:
                for job_id in filter(None, (variable(pid, "PBS_JOBID") for pid in job())):
                    strike(job_id)
                yield 0.0

            return fault

        def lose_an_answer() -> Iterator[float]:
            self._pbs.lose_next_answer()
            yield 0.0

        return {
            "a job is cancelled by somebody": on_a_job(self._qdel),
            "a job is killed and requeued": on_a_job(self._pbs.requeue),
            "a job reaches its walltime": on_a_job(self._pbs.reach_walltime),
            "a node is lost": lambda: self._lose_node(random),
            "the server stops": lambda: _while(self._pbs.hung(), random),
            "the server is down": lambda: _while(self._pbs.down(), random),
            "the answer to a submission is lost": lose_an_answer,
        }

    def _qdel(self, job_id: str) -> None:
        # A server that stops does not answer; nobody waits for that.
        qdel = self._pbs.folder / "bin" / "qdel"
        subprocess.Popen([qdel, job_id], stderr=subprocess.DEVNULL)

    def _lose_node(self, random: Random) -> Iterator[float]:
        node = random.choice(sorted(_NODES))
        self._pbs.lose_node(node)
        yield some_seconds(random)
        self._pbs.give_up_node(node)  # what runs there does not know it
        self._pbs.set(lost_nodes=[])

    def mend(self) -> None:
        """Leave all as it is: each fault has mended what it broke."""

    def left(self) -> str:
        """Return what there still is of jobs; nothing if all is over."""
        ids = [job["id"] for job in self._pbs.jobs() if job["state"] not in "FX"]
        processes = self.jobs()
        return f"jobs {ids}, processes {processes}" if ids or processes else ""


def _while(trouble: AbstractContextManager[None], random: Random) -> Iterator[float]:
    with trouble:
        yield some_seconds(random)
