"""How many cores a job uses: those that it was given, and no more than it is bound to.

How many cores the host has is never the answer: others use them, too.
"""

from __future__ import annotations

import os

from adaptive_scheduler.executors.kinds import EXECUTOR_TYPES, KINDS


def given_cores(asked: int, told: int, executor_type: EXECUTOR_TYPES) -> int:
    """Return how many cores this job has, on all of its nodes if its executor spans them.

    Where the job is bound to some cores of its node, more workers than these
    would only be in each other's way.

    Parameters
    ----------
    asked
        What the job was to ask for.
    told
        What the scheduler says that it was given; 0 if it says nothing.
    executor_type
        How the job spreads its evaluations.
    """
    if told and KINDS[executor_type].spans_nodes:
        return told  # its own node is not all that the job has
    cores = told or asked
    usable = len(os.sched_getaffinity(0))
    return min(cores, usable) if usable < (os.cpu_count() or 1) else cores
