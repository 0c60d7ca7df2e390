"""The daemons of a Slurm cluster: started, found again, ended."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from tests.cluster.packages import SlurmPrograms, installed_programs
from tests.cluster.processes import environment_of, find, is_alive, kill_all, send
from tests.cluster.slurm_config import ClusterConfig
from tests.ports import free_ports
from tests.waiting import wait_until

#: Is in the environment of the daemons, and of what they start outside of jobs.
MARK = "ADAPTIVE_SCHEDULER_TEST_CLUSTER"
#: Variables that the daemons get from us.
_NEEDED = ("HOME", "LANG", "LOGNAME", "SHELL", "USER")
#: A key is as long as munge wants it.
_KEY_BYTES = 128
#: Lines of a daemon's log that tell why it has ended.
_LOG_LINES = 15
#: Seconds that a command gets; sbatch itself gives up after two minutes.
_COMMAND_TIMEOUT = 150


class SlurmDaemons:
    """Starts and ends munged, slurmctld and a slurmd for each node.

    What belongs to a cluster is found by the environment of its processes, so
    that any process can end it, whatever has become of the one that began it.

    Parameters
    ----------
    folder
        Where all of it lies. A short path: there is a socket in it.
    config
        What the cluster is like.
    """

    def __init__(self, folder: Path, config: ClusterConfig | None = None) -> None:
        self.folder = folder.absolute()
        self.config = config or ClusterConfig()
        self.programs: SlurmPrograms = installed_programs()
        self._children: list[subprocess.Popen[bytes]] = []

    @property
    def conf(self) -> Path:
        """The file that all programs of Slurm read."""
        return self.folder / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which commands reach this cluster."""
        path = self.programs.search_path
        return {**self.programs.environment, "SLURM_CONF": str(self.conf), "PATH": path}

    def up(self) -> None:
        """Start all daemons and return when every node can take jobs.

        Raises
        ------
        FileNotFoundError
            If Slurm is not on this machine; the message says how to get it.
        RuntimeError
            If a daemon does not live.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o711)  # munge wants everybody to reach its socket
        for name in ("munge", "state", "run", "log", "spool", "tmp"):
            (self.folder / name).mkdir(mode=0o755, exist_ok=True)
        key = self.folder / "munge" / "key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(_KEY_BYTES))
        ports = free_ports(1 + self.config.nodes)
        self.conf.write_text(self.config.text(self.folder, ports, self.programs.plugins))
        self._start_munged()
        self.start_controller()
        for node in self.config.node_names:
            self.start_node(node)
        wait_until(self.is_ready)

    def down(self) -> None:
        """End all that belongs to this cluster, and delete its folder."""
        kill_all(self.processes)
        while self._children:
            self._children.pop().wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def processes(self) -> set[int]:
        """Return the daemons and the jobs of this cluster, with all that they have started."""
        return find(lambda environment: self._is_marked(environment) or self._is_job(environment))

    def job_processes(self) -> set[int]:
        """Return what runs in jobs, without the daemons that watch it."""
        return find(self._is_job)

    def _is_marked(self, environment: list[bytes]) -> bool:
        return f"{MARK}={self.folder}".encode() in environment

    def _is_job(self, environment: list[bytes]) -> bool:
        is_in_job = any(variable.startswith(b"SLURM_JOB_ID=") for variable in environment)
        return is_in_job and f"SLURM_CONF={self.conf}".encode() in environment

    # One daemon.

    def _start_munged(self) -> None:
        munge = self.folder / "munge"
        files = {
            "socket": munge / "socket",
            "key-file": munge / "key",
            "seed-file": munge / "seed",
            "log-file": self.folder / "log" / "munged.log",
            "pid-file": self.folder / "run" / "munged.pid",
        }
        options = [f"--{name}={path}" for name, path in files.items()]
        self._start("munged", "--foreground", *options)
        wait_until(lambda: files["socket"].exists() or self.check_alive("munged"))

    def start_controller(self) -> None:
        """Start slurmctld; it knows all jobs of one that lived before."""
        self._start("slurmctld", "-D")

    def start_node(self, node: str) -> None:
        """Start the slurmd of a node."""
        (self.folder / "spool" / node).mkdir(exist_ok=True)
        stepd = [] if self.programs.unpacked is None else ["-d", self.programs.find("slurmstepd")]
        self._start("slurmd", "-D", "-N", node, *stepd, log=f"slurmd.{node}")

    def _start(self, name: str, *arguments: str, log: str = "") -> None:
        with (self.folder / "log" / f"{log or name}.out").open("ab") as output:
            child = subprocess.Popen(
                [self.programs.find(name), *arguments],
                cwd=self.folder,
                env={**_plain_environment(), **self.environment, MARK: str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the one who started it
            )
        self._children.append(child)
        # For a moment after its start, a process has no environment yet to be known by.
        wait_until(lambda: self._is_marked(environment_of(child.pid)) or child.poll() is not None)

    def daemons(self, name: str, *arguments: str) -> list[int]:
        """Return the living daemons with this name and these arguments."""
        wanted = [name, *arguments]
        marked = find(self._is_marked)
        return [pid for pid in marked if _command(pid)[: len(wanted)] == wanted]

    def kill(self, name: str, *arguments: str) -> None:
        """Kill daemons without warning, and return when they are gone."""
        pids = self.daemons(name, *arguments)
        kill_all(lambda: {pid for pid in pids if is_alive(pid)})

    def signal(self, signum: int, name: str, *arguments: str) -> None:
        """Send a signal to all daemons with this name and these arguments."""
        send(signum, self.daemons(name, *arguments))

    def is_ready(self) -> bool:
        """Return whether every node can take jobs.

        Raises
        ------
        RuntimeError
            If a daemon has ended.
        """
        self.check_alive("munged", "slurmctld", "slurmd")
        ask = ("sinfo", "--noheader", "--Node", "--partition=main", "--format=%N %T")
        states = dict(line.split() for line in self.run(*ask, check=False).splitlines())
        return all(states.get(name) == "idle" for name in self.config.node_names)

    def check_alive(self, *names: str) -> None:
        """Check that daemons live; that a node has none is no error if another has.

        Raises
        ------
        RuntimeError
            If none with one of the names lives, with the end of its log.
        """
        for name in names:
            if not self.daemons(name):
                raise RuntimeError(
                    f"{name} of the cluster in {self.folder} has ended.\n{self._last_words(name)}"
                )

    def _last_words(self, name: str) -> str:
        tails = [
            f"{path}:\n" + "\n".join(path.read_text().splitlines()[-_LOG_LINES:])
            for path in sorted((self.folder / "log").glob(f"{name}*"))
        ]
        return "\n".join(tails)

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command of Slurm, and return what it says."""
        done = subprocess.run(
            [self.programs.find(command[0]), *command[1:]],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_COMMAND_TIMEOUT,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"{shlex.join(command)} failed: {done.stderr}")
        return done.stdout


def _plain_environment() -> dict[str, str]:
    """Return what daemons need; the rest of our environment may belong to a test that ends."""
    return {name: os.environ[name] for name in _NEEDED if name in os.environ}


def _command(pid: int) -> list[str]:
    """Return the command line of a process, its program by name."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []
    return [Path(words[0]).name.removesuffix("-wlm"), *words[1:]]
