"""The text of a job script."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import NamedTuple

from adaptive_scheduler.resources import Resources

#: What numerical libraries read to find out how many threads they may use.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class JobVariables(NamedTuple):
    """Shell expressions that tell a running job who it is."""

    #: The id as the queue shows it.
    job_id: str
    #: The number in the job's name.
    number: str
    #: How often the scheduler has started this job again under the same id.
    restarts: str


def render_script(
    *,
    head: list[str],
    variables: JobVariables,
    resources: Resources,
    python_executable: str,
    options: Mapping[str, object],
) -> str:
    """Return a job script: options for the scheduler, environment, program.

    The program replaces the shell, so that signals reach it at once.
    """
    exports = [f"export {name}={resources.num_threads}" for name in _THREAD_VARIABLES]
    exports += [f"export {assignment}" for assignment in resources.extra_env_vars]
    program = [python_executable, "-m", "adaptive_scheduler.run_learner"]
    for name, value in options.items():
        program += [f"--{name.replace('_', '-')}", str(value)]
    command = " ".join(
        [
            "exec",
            *map(shlex.quote, program),
            f'--job-id "{variables.job_id}"',
            f'--number "{variables.number}"',
            f'--restarts "{variables.restarts}"',
        ]
    )
    sections = [
        ["#!/bin/bash", *head],
        ["# Threads for each evaluation.", *exports],
        [resources.extra_script.rstrip()] if resources.extra_script.strip() else [],
        [command],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"
