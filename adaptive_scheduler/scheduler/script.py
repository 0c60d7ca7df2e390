"""The text of a job script."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.executors.kinds import KINDS
from adaptive_scheduler.scheduler.launching import Launch
from adaptive_scheduler.scheduler.resources import Resources

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
    """Shell expressions that tell a running job who it is, and what it was given.

    What a job was given may differ from what it has asked for: options of the
    user's win over ours, and a script may be submitted by hand. A number that
    is empty or 0 is not known.

    Attributes
    ----------
    job_id
        The id as the queue shows it.
    number
        The number in the job's name.
    restarts
        How often the scheduler has started this job again under the same id.
    cores
        Cores for the job's program on its own node; empty where no variable tells.
    slots
        Processes that the job may start on all of its nodes; empty where no variable tells.
    """

    job_id: str
    number: str
    restarts: str = "0"
    cores: str = ""
    slots: str = ""


def render_script(
    *,
    head: list[str],
    variables: JobVariables,
    resources: Resources,
    python_executable: str,
    options: Mapping[str, object],
    environment: Mapping[str, str] = MappingProxyType({}),
    launch: Launch | None = None,
) -> str:
    """Return a job script: options for the scheduler, environment, program.

    The program, or what starts it, replaces the shell, so that signals reach
    it at once.

    Parameters
    ----------
    head
        Lines for the scheduler.
    variables
        How the job learns who it is, and what it was given.
    resources
        What the job asks for.
    python_executable
        The Python that runs the program.
    options
        Options of ``run_learner`` by name, with ``_`` or ``-`` between words.
        Their values are passed on whatever characters are in them; one that
        is None is left out.
    environment
        Variables that the job needs, whatever else the scheduler hands on.
    launch
        How the program is started; by default as it is.

    Raises
    ------
    InvalidInputError
        If a value has a NUL character, which no program can be given.
    """
    threads = [f"{name}={resources.num_threads}" for name in _THREAD_VARIABLES]
    command, module = launch or Launch()
    lines = [" ".join(map(_quoted, command))] if command else []
    through = "" if module is None else f"-m {module} "
    lines.append(f"{_quoted(python_executable)} {through}-m adaptive_scheduler.run_learner")
    lines += [_option(name, value) for name, value in options.items() if value is not None]
    lines += [
        f'--job-id="{variables.job_id}"',
        f'--number="{variables.number}"',
        f'--restarts="{variables.restarts}"',
    ]
    spans_nodes = KINDS[resources.executor_type].spans_nodes
    if given := variables.slots if spans_nodes else variables.cores:
        lines.append(f'--given-cores="{given}"')
    sections = [
        ["#!/bin/bash", *head],
        ["# Threads for each evaluation.", *exports(threads)],
        exports(f"{name}={_quoted(value)}" for name, value in environment.items()),
        exports(resources.extra_env_vars),
        [resources.extra_script.rstrip()] if resources.extra_script.strip() else [],
        ["# The program takes the place of the shell: signals reach it at once."],
    ]
    text = "\n\n".join("\n".join(section) for section in sections if section)
    return text + "\nexec " + " \\\n    ".join(lines) + "\n"


def exports(assignments: Iterable[str]) -> list[str]:
    """Return the lines that export ``NAME=value``, quoted by the user as for a shell."""
    return [f"export {assignment}" for assignment in assignments]


def _option(name: str, value: object) -> str:
    # In one word with "=", a value may begin with "-".
    return f"--{name.lstrip('-').replace('_', '-')}={_quoted(str(value))}"


def _quoted(word: str) -> str:
    if "\0" in word:
        raise InvalidInputError(f"No program can be given a NUL character, as in {word!r}.")
    return shlex.quote(word)
