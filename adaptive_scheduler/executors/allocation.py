"""How many cores a job was given, which may differ from what it has asked for.

Options of the user's for the scheduler win over ours, and a script may be
submitted by hand. Where the job is bound to some cores of its node, more workers than
these would only be in each other's way. How many cores the host has is never the
answer: others use them, too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from adaptive_scheduler.executors.kinds import KINDS
from adaptive_scheduler.scheduler.resources import EXECUTOR_TYPES

#: Tasks on each node, such as ``2(x3),1``: three nodes with two and one with one.
_TASKS = re.compile(r"(\d+)(?:\(x(\d+)\))?", re.ASCII)
#: A variable that only jobs of `Local` have. They may run inside of a job of another
#: scheduler, whose variables speak of that one.
_OF_LOCAL = "ADAPTIVE_SCHEDULER_LOCAL_JOB_ID"


def given_cores(
    asked: int, executor_type: EXECUTOR_TYPES, environment: Mapping[str, str] = os.environ
) -> int:
    """Return how many cores this job has, on all of its nodes if its executor spans them.

    Parameters
    ----------
    asked
        What the job was to ask for; it is the answer where the scheduler says nothing.
    executor_type
        How the job spreads its evaluations.
    environment
        The variables of the job.
    """
    if _OF_LOCAL in environment:
        return _unless_bound(asked)
    if KINDS[executor_type].spans_nodes:
        # Its own node is not all that the job has.
        told = _slurm_tasks(environment) or _pbs_slots(environment)
        return told or _unless_bound(asked)
    return _unless_bound(_slurm_cores(environment) or _number(environment, "NCPUS") or asked)


def _unless_bound(cores: int) -> int:
    """Return `cores`, or less if this process may use but a part of its machine, and that less."""
    usable = len(os.sched_getaffinity(0))
    return min(cores, usable) if usable < (os.cpu_count() or 1) else cores


def _slurm_tasks(environment: Mapping[str, str]) -> int:
    found = _TASKS.findall(environment.get("SLURM_TASKS_PER_NODE", ""))
    return sum(int(tasks) * int(nodes or 1) for tasks, nodes in found)


def _slurm_cores(environment: Mapping[str, str]) -> int:
    """Return the cores of this node: each task has some."""
    tasks = _TASKS.match(environment.get("SLURM_TASKS_PER_NODE", ""))
    return (int(tasks[1]) if tasks else 1) * _number(environment, "SLURM_CPUS_PER_TASK")


def _pbs_slots(environment: Mapping[str, str]) -> int:
    """Return the lines of the file in which PBS names a node for each process."""
    try:
        return len(Path(environment["PBS_NODEFILE"]).read_text().split())
    except (KeyError, OSError):
        return 0


def _number(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name, "")
    return int(value) if value.isdigit() else 0
