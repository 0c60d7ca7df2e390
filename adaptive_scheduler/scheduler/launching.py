"""How the processes of a job are started: the job's program, and that of its workers."""

from __future__ import annotations

import shlex
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

#: Seconds in which Python must say which MPI it has.
_PATIENCE = 30.0
#: What srun must speak with an MPI, by words that are in the MPI's name.
_PROTOCOLS = {"MPICH": "pmi2", "Intel": "pmi2", "MVAPICH": "pmi2", "Open MPI": "pmix"}


class Launch(NamedTuple):
    """What a job script starts, before the name of the program."""

    #: The command that starts Python, perhaps many times; none replaces the shell by Python.
    command: tuple[str, ...] = ()
    #: The module that runs the program; none runs the program itself.
    module: str | None = None


def local_mpiexec(python_executable: str) -> list[str]:
    """Return the command that starts programs of the MPI that this Python has.

    An MPI that was installed beside Python is preferred to another on PATH.
    """
    folder = Path(python_executable).parent
    if (hydra := folder / "mpiexec.hydra").exists():
        # It would kill all processes when one of them dies, before the job can save.
        return [str(hydra), "-disable-auto-cleanup"]
    beside = folder / "mpiexec"
    return [str(beside) if beside.exists() else "mpiexec"]


def srun_for_mpi(python_executable: str) -> list[str]:
    """Return the command that starts programs of the MPI that this Python has, under Slurm.

    Where Python can't tell, the protocol is the default of the site.
    """
    version = _mpi_version(python_executable)
    protocols = [protocol for name, protocol in _PROTOCOLS.items() if name in version]
    return ["srun", *(f"--mpi={protocol}" for protocol in protocols[:1]), *KEEP_OTHERS]


#: Options of srun: when one process dies, the job saves before the others end.
KEEP_OTHERS = ("--kill-on-bad-exit=0", "--wait=0")


def words(command: str) -> list[str]:
    """Return the words of a command that a user has typed."""
    return shlex.split(command)


@lru_cache
def _mpi_version(python_executable: str) -> str:
    command = [python_executable, "-m", "mpi4py", "--mpi-lib-version"]
    try:
        answer = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=_PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout
