"""The text of a job script: what it asks for, and how it starts and warns the job."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.executors.kinds import KINDS
from adaptive_scheduler.scheduler.resources import Resources

#: Seconds before the end at which a job is warned, but for short jobs.
_USUAL: Final = 60
#: Of a short job's time, this part is what a warning may cost.
_PART: Final = 0.1
#: The most that any scheduler takes: sbatch, see its option ``--signal``.
_LONGEST: Final = 65_535

#: What the shell does with the signal until the job's program listens.
NOT_YET: Final = "trap '' USR1  # until the program listens: a warning would end the shell"
#: What comes before a job waits for the time of its own warning, and after.
_WARNING: Final = (
    "# A signal before the end of the job's time: it saves, and gives its learner back.",
    NOT_YET,
)
_WARN: Final = "exec kill -USR1 $$) > /dev/null 2>&1 &"


def check_warning(seconds: Any) -> None:
    """Check what a user says for `signal_before_end`.

    Raises
    ------
    InvalidInputError
        If it is neither None nor a number of seconds that schedulers take.
    """
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if seconds is not None and not (is_number and 0 <= seconds <= _LONGEST):
        raise InvalidInputError(
            f"`signal_before_end` is a number of seconds up to {_LONGEST}, not {seconds!r}."
        )


def warning_time(limit: float | None, wanted: float | None) -> int:
    """Return how many seconds before the end a job is warned; 0 for never.

    Parameters
    ----------
    limit
        How many seconds the job may run; None if nothing is known, and then
        only a warning that was asked for makes sense.
    wanted
        What the user says; None for a minute, or less in short jobs.
    """
    if wanted is not None:
        return int(wanted)
    return 0 if limit is None else min(_USUAL, int(_PART * limit))


def warning_lines(limit: int | None, seconds_before: float | None) -> list[str]:
    """Return the lines of a job script by which a job warns itself.

    Parameters
    ----------
    limit
        How many seconds the job may run; None if nothing is known.
    seconds_before
        How many seconds before; None for a minute, or less in short jobs.
    """
    time = None if limit is None else _warned_after(limit, seconds_before)
    return [] if time is None else [*_WARNING, f"(sleep {time} && {_WARN}"]


def warning_lines_by_queue(
    limits: Mapping[str, int], seconds_before: float | None, *, queue: str
) -> list[str]:
    """Return the lines by which a job warns itself whose queue decides how long it may run.

    A system may move a job from queue to queue. So it is the job that looks where it is.

    Parameters
    ----------
    limits
        How many seconds a job may run, by queue.
    seconds_before
        As for `warning_lines`.
    queue
        The shell expression that tells a job in which queue it is.
    """
    by_time: dict[int, list[str]] = {}
    for name, limit in limits.items():
        if (time := _warned_after(limit, seconds_before)) is not None:
            by_time.setdefault(time, []).append(shlex.quote(name))
    if not by_time:
        return []
    cases = [f"    {' | '.join(names)}) sleep {time} ;;" for time, names in by_time.items()]
    return [*_WARNING, f'(case "{queue}" in', *cases, "    *) exit ;;", f"esac && {_WARN}"]


def _warned_after(limit: int, seconds_before: float | None) -> int | None:
    """Return how many seconds after its start a job is warned; None for never."""
    seconds = warning_time(limit, seconds_before)
    return limit - seconds if 0 < seconds < limit else None


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


#: `restarts` of `JobVariables` where the job script counts them, see `restart_lines`.
COUNTED_RESTARTS: Final = "${ADAPTIVE_SCHEDULER_RESTARTS:-0}"


def restart_lines(output: str, system: str) -> list[str]:
    """Return the lines by which a job counts its restarts, where the scheduler tells none.

    Each restart leaves a line in the job's output; these are counted.

    Parameters
    ----------
    output
        The shell expression for the file of the output, which has the job's id in its name.
    system
        What the scheduler is called.
    """
    again = f"adaptive_scheduler: {system} has started this job again"
    return [
        "export ADAPTIVE_SCHEDULER_RESTARTS=0",
        f"if [ -e {output} ]; then",
        f"    echo '{again}' >> {output}",
        f"    ADAPTIVE_SCHEDULER_RESTARTS=$(grep -acxF '{again}' {output})",
        "fi",
    ]


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
