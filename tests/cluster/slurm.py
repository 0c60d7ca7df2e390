"""A Slurm cluster of one's own, on one machine, in one folder, without root.

By hand, to try the package without a cluster::

    python -m tests.cluster.slurm shell    # a shell in which sbatch works; it ends with it
    python -m tests.cluster.slurm up       # stays until `down`
    python -m tests.cluster.slurm down
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.processes import is_alive, send
from tests.cluster.slurm_config import ClusterConfig
from tests.cluster.slurm_daemons import SlurmDaemons
from tests.waiting import wait_until

__all__ = ["ClusterConfig", "SlurmCluster", "temporary_cluster"]

#: Stands before a command of Slurm on PATH, and writes down that it was called.
_COUNTING = """\
#!/bin/sh
echo {name} >> '{calls}'
exec '{program}' "$@"
"""
_COUNTED = ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "sacct")
#: Tells slurmctld by Slurm's own library how a job has ended: no command does.
_END_OF_JOB = """\
import ctypes, sys
library = ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)
library.slurm_init(None)
sys.exit(library.slurm_complete_job(int(sys.argv[2]), int(sys.argv[3])))
"""
#: Stands for the signal by which a job died that used too much memory.
_SIG_OOM = 253
#: Seconds that commands wait for an answer that will not come.
_SOON = 2


class SlurmCluster(SlurmDaemons):
    """A cluster, what can be asked of it, and what can go wrong with it."""

    def renew(self) -> None:
        """Begin anew in the same folder, without jobs and without damage.

        That is quicker than to end all jobs, and a controller that was killed
        may have forgotten some.
        """
        self.down()
        self.up()

    def _answers(self) -> bool:
        return " is UP" in self.run("scontrol", "ping", check=False)

    @contextmanager
    def counted(self) -> Iterator[Counter[str]]:
        """Count the calls of Slurm's commands; the counter is filled in the end.

        Puts wrappers in front of PATH.
        """
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        calls = folder / "calls"
        calls.touch()
        for name in _COUNTED:
            text = _COUNTING.format(name=name, calls=calls, program=self.programs.find(name))
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        path = os.environ["PATH"]
        os.environ["PATH"] = f"{folder}{os.pathsep}{path}"
        counter: Counter[str] = Counter()
        try:
            yield counter
        finally:
            os.environ["PATH"] = path
            counter.update(calls.read_text().split())

    # What goes wrong.

    @contextmanager
    def controller_stopped(self) -> Iterator[None]:
        """Let slurmctld take connections and not answer."""
        with self.commands_give_up_soon():
            self.signal(signal.SIGSTOP, "slurmctld")
            try:
                yield
            finally:
                self.signal(signal.SIGCONT, "slurmctld")
        wait_until(self._answers)

    @contextmanager
    def controller_down(self) -> Iterator[None]:
        """Let there be no slurmctld; it has saved what it knows."""
        pids = self.daemons("slurmctld")
        send(signal.SIGTERM, pids)
        wait_until(lambda: not any(map(is_alive, pids)))
        try:
            with self.commands_give_up_soon():
                yield
        finally:
            self.start_controller()
            wait_until(self._answers)

    def let_controller_save(self) -> None:
        """Return when slurmctld has written down all that it knows.

        It does so some seconds after something has changed. One that is killed
        before forgets even jobs, and gives their ids to others.
        """
        now = time.time()
        self.run("scancel", self.run("sbatch", "--parsable", "--hold", "--wrap=true").strip())
        wait_until(lambda: (self.folder / "state" / "job_state").stat().st_mtime > now)

    @contextmanager
    def commands_give_up_soon(self) -> Iterator[None]:
        """Let commands not wait for long; daemons have read their configuration before."""
        before = self.conf.read_text()
        self._configure(re.sub("(?m)^MessageTimeout=.*", f"MessageTimeout={_SOON}", before))
        try:
            yield
        finally:
            self._configure(before)

    def _configure(self, text: str) -> None:
        new = self.conf.with_suffix(".new")
        new.write_text(text)
        new.replace(self.conf)  # a command that begins now reads the one or the other

    def lose_node(self, node: str) -> None:
        """Kill a node's slurmd, and let slurmctld know that the node is down.

        Processes of its jobs run on, as on a node that lost its network.
        """
        self.kill(*_daemon_of(node))
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=lost")

    def bring_back(self, node: str) -> None:
        """Start a lost node's slurmd again, and let the node take jobs."""
        self.start_node(node)
        self.run("scontrol", "update", f"nodename={node}", "state=resume")

    @contextmanager
    def node_stopped(self, node: str) -> Iterator[None]:
        """Let a node's slurmd do nothing, so that jobs that are to end don't."""
        self.signal(signal.SIGSTOP, *_daemon_of(node))
        try:
            yield
        finally:
            self.signal(signal.SIGCONT, *_daemon_of(node))

    @contextmanager
    def launches_failing(self) -> Iterator[None]:
        """Let no node launch a job: there is no place for the job's script."""
        places = {node: node.with_suffix(".away") for node in (self.folder / "spool").iterdir()}
        for place, away in places.items():
            place.rename(away)
        try:
            yield
        finally:
            for place, away in places.items():
                away.rename(place)

    def run_out_of_memory(self, job_id: str) -> None:
        """Have a running job end as one that used more memory than it had asked for.

        Its node says so to slurmctld where it can limit memory, and that takes rights.
        """
        alone = self.run("squeue", "--noheader", f"--jobs={job_id}", "--format=%A").strip()
        plugins = re.search(r"PluginDir\s*= (\S+)", self.run("scontrol", "show", "config"))
        assert plugins is not None
        library = Path(plugins[1]) / "libslurmfull.so"
        subprocess.run(
            [sys.executable, "-c", _END_OF_JOB, library, alone, str(_SIG_OOM)],
            env={**os.environ, **self.environment},
            check=True,
        )

    def requeue(self, job_id: str) -> None:
        """Have a running job begin again under its id."""
        self.put_back(job_id)
        self.let_begin(job_id)

    def put_back(self, job_id: str, *, hold: bool = False) -> None:
        """End a running job, and put it back into the queue; return when it is there."""
        self.run("scontrol", "requeuehold" if hold else "requeue", job_id)
        wait_until(lambda: "PENDING" in self._state_of(job_id))

    def let_begin(self, job_id: str) -> None:
        """Have a job that was requeued begin in the next second; Slurm would wait for some more.

        A node launches no job whose credential is of the second in which that of the
        same job was revoked: it would end as FAILED, before its first line.
        """
        wait_until(lambda: "PENDING" in self._state_of(job_id))
        self.run("scontrol", "update", f"jobid={job_id}", "starttime=now+1")

    def _state_of(self, job_id: str) -> str:
        ask = ("squeue", "--noheader", f"--jobs={job_id}", "--format=%T")
        return self.run(*ask, check=False)


def _daemon_of(node: str) -> tuple[str, ...]:
    return ("slurmd", "-D", "-N", node)


@contextmanager
def temporary_cluster(config: ClusterConfig | None = None) -> Iterator[SlurmCluster]:
    """Own a cluster in a folder of its own.

    A reaper process ends it if this process dies before it can.
    """
    cluster = SlurmCluster(Path(tempfile.mkdtemp(prefix="slurm-")), config)
    reaper = _start_reaper(cluster.folder)
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()
        reaper.kill()
        reaper.wait()


def _start_reaper(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.cluster.process_reaper", str(os.getpid()), str(folder)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


if __name__ == "__main__":
    from tests.cluster.slurm_by_hand import main

    sys.exit(main())
