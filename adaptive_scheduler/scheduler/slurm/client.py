"""How the commands of Slurm are called."""

from __future__ import annotations

import os
from collections.abc import Sequence

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler.command import TIMEOUT, Finished, run_command, shown

#: By such variables users change what they see: a squeue that leaves jobs out
#: by SQUEUE_STATES would make us believe that they are gone.
_PREFERENCES = ("SQUEUE_", "SCANCEL_", "SINFO_", "SACCT_")
#: Where this process runs in a job itself, its variables speak of that job.
_OF_A_JOB = "SLURM_"
#: These say where Slurm is, and how to speak with it.
_KEPT = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT"})
#: With these sbatch would wait for the end of the jobs, or send them where nobody looks for them.
_REFUSED = frozenset({"SBATCH_WAIT", "SBATCH_CLUSTERS"})


def slurm_environment() -> dict[str, str]:
    """Return our environment without what would change the meaning of Slurm's commands."""
    return {name: value for name, value in os.environ.items() if not _misleads(name)}


def _misleads(name: str) -> bool:
    if name in _KEPT:
        return False
    return name in _REFUSED or name.startswith((*_PREFERENCES, _OF_A_JOB))


def ask(command: Sequence[str], *, timeout: float = TIMEOUT) -> Finished:
    """Ask something that changes nothing, and return the answer, whatever its exit code.

    Raises
    ------
    SchedulerUnavailableError
        If there is no answer.
    """
    # Times of day are read as UTC: at the end of summer, local time has an hour twice.
    environment = {**slurm_environment(), "LC_ALL": "C", "TZ": "UTC0"}
    return run_command(command, timeout=timeout, environment=environment)


def ask_well(command: Sequence[str], *, timeout: float = TIMEOUT) -> str:
    """Return the output of a command that must succeed.

    Raises
    ------
    SchedulerUnavailableError
        If there is no answer, or if it tells of a failure.
    """
    answer = ask(command, timeout=timeout)
    if answer.returncode:
        raise SchedulerUnavailableError(f"`{shown(command)}` failed: {answer.complaint}")
    return answer.stdout
