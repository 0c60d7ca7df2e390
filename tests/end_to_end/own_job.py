"""Which job a process under test is, or works for.

Jobs import this module: it must import little.
"""

from __future__ import annotations

import os
from pathlib import Path


def own_job_id() -> str:
    """Return the id of the job that this process works for; a job that began again has another."""
    if local := os.environ.get("ADAPTIVE_SCHEDULER_LOCAL_JOB_ID"):
        return local
    if job_id := os.environ.get("PBS_JOBID"):
        restarts = os.environ.get("ADAPTIVE_SCHEDULER_RESTARTS", "0")
    else:
        job_id = "_".join(os.environ.get(f"SLURM_ARRAY_{name}_ID", "") for name in ("JOB", "TASK"))
        restarts = os.environ.get("SLURM_RESTART_COUNT", "0")
    return job_id + ("" if restarts == "0" else f" again {restarts}")


def _pid_of_own_job() -> int:
    pid = os.getpid()
    while _runs_learners(parent := _parent_of(pid)):
        pid = parent
    return pid


def _runs_learners(pid: int) -> bool:
    try:
        return b"adaptive_scheduler.run_learner" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


#: The process of that job. Found at import: a job that is being killed has no
#: command line any more, and its workers may live a moment longer.
OWN_JOB_PID = _pid_of_own_job()
