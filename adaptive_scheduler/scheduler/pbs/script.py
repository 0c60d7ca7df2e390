"""What PBS is sent: a script begins with what it can be told in no other way.

A script of PBS takes no arguments, starts in the user's home folder, and its
output can't be given a name with the job's id in it. So a few lines of shell
come before the job script. qsub reads no options after them: all are given on
its command line.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler.command import Finished
from adaptive_scheduler.scheduler.jobs import Batch
from adaptive_scheduler.scheduler.pbs import mark
from adaptive_scheduler.scheduler.pbs.arrays import Block, array_option
from adaptive_scheduler.scheduler.script import JobVariables

#: How a running job learns who it is. PBS tells its id; the rest comes from the
#: lines before the script.
VARIABLES: Final = JobVariables(
    job_id="$PBS_JOBID",
    number="${ADAPTIVE_SCHEDULER_NUMBER:-${PBS_ARRAY_INDEX:-0}}",
    restarts="${ADAPTIVE_SCHEDULER_RESTARTS:-0}",
)

#: A line in the output of a job that PBS has started again. PBS tells jobs of
#: no count of their starts, so these lines are counted.
_AGAIN: Final = "adaptive_scheduler: PBS has started this job again"

#: Paths that PBS was seen to take for output.
_PLAIN_PATH = re.compile(r"/[\w ./+@%=:,-]*", re.ASCII)
#: The longest path that qsub takes has 1024 bytes.
_LONGEST_PATH = 1000
#: A name that qsub takes, and its longest.
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_+.-]")
_LONGEST_NAME: Final = 230
#: The same for old versions and for Torque. Source: qsub(1B) of PBS Pro 13 and
#: of Torque 2.4, which also want a letter first.
_NOT_IN_OLD_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_OLD_NAME: Final = 15

#: What qsub says where output can't be written to its place while a job runs.
_NOT_AT_ONCE: Final = "illegal -k value"
#: What it says where it can't do without a process that stays behind.
_NO_FOREGROUND: Final = "invalid option -- 'f'"
#: What it says of a name that is too long for it, or begins with a digit.
_NOT_A_NAME: Final = ("illegal -N value", "Job name is too long", "name is too long")


class Dialect(NamedTuple):
    """What differs between versions of PBS.

    Attributes
    ----------
    is_torque
        Whether the commands are Torque's.
    writes_at_once
        Whether ``-k d`` is known: output goes to its place while a job runs.
    takes_any_name
        Whether names may be long, and begin with a digit.
    has_foreground
        Whether ``-f`` is known: no process stays behind that could submit the
        jobs after qsub was killed because there was no answer in time.
    """

    is_torque: bool = False
    writes_at_once: bool = True
    takes_any_name: bool = True
    has_foreground: bool = True


def simpler(dialect: Dialect, answer: Finished) -> Dialect | None:
    """Return what to speak with a qsub that has refused words; None if others won't help."""
    if dialect.writes_at_once and _NOT_AT_ONCE in answer.stderr:
        return dialect._replace(writes_at_once=False)
    if dialect.takes_any_name and any(words in answer.stderr for words in _NOT_A_NAME):
        return dialect._replace(takes_any_name=False)
    if dialect.has_foreground and _NO_FOREGROUND in answer.stderr:
        return dialect._replace(has_foreground=False)
    return None


def submit_command(batch: Batch, block: Block, options: list[str], dialect: Dialect) -> list[str]:
    """Return the command that submits a block of jobs; their script is its input.

    Parameters
    ----------
    batch, block
        The jobs.
    options
        What the jobs ask for, written as in the head of a script.
    dialect
        Which options qsub knows.
    """
    words = [word for option in options for word in shlex.split(option)]
    alone = block[0] if len(block) == 1 else None
    command = [
        "qsub",
        "-N",
        _name(batch, alone, dialect),
        "-j",
        "oe",
        *_output(batch, alone, dialect),
    ]
    if alone is None and dialect.is_torque:
        command += ["-t", ",".join(map(str, block))]
    elif alone is None:
        command += ["-J", array_option(block)]
    if dialect.is_torque:
        command += ["-S", "/bin/bash"]  # it gives the script to a shell without looking at it
    elif dialect.has_foreground:
        command += ["-f"]
    return [*command, "-r", "y", *words]


def _name(batch: Batch, alone: int | None, dialect: Dialect) -> str:
    """Return a name that PBS takes, for people who look at the queue; ours is in the mark."""
    ending = "" if alone is None else f"-{alone}"
    if dialect.takes_any_name:
        plain = _NOT_IN_NAMES.sub("_", batch.job_name)
        return plain[: _LONGEST_NAME - len(ending)] + ending
    plain = _NOT_IN_OLD_NAMES.sub("_", batch.job_name)
    plain = plain if plain[:1].isalpha() else f"j{plain}"
    ending = ending[: _LONGEST_OLD_NAME - 1]
    return plain[: _LONGEST_OLD_NAME - len(ending)] + ending


def _output(batch: Batch, alone: int | None, dialect: Dialect) -> list[str]:
    """Return where PBS puts what a job prints before it has a file of its own, or after."""
    marked = mark.written(batch, alone)
    start = f"{batch.log_folder}/{batch.job_name}-"
    if not dialect.writes_at_once or not all(map(_is_plain, (start, f"{start}{marked}"))):
        return ["-o", "/dev/null", "-e", f"/dev/{marked}"]
    number = "^array_index^" if alone is None else alone
    return ["-k", "oed", "-o", f"{start}{number}.out", "-e", f"{batch.log_folder}/{marked}"]


def _is_plain(path: str) -> bool:
    return _PLAIN_PATH.fullmatch(path) is not None and len(path) <= _LONGEST_PATH


def sent_script(batch: Batch, block: Block, more: Sequence[str] = ()) -> str:
    """Return what is sent for a block of jobs: the lines before the script, and the script.

    Parameters
    ----------
    batch, block
        The jobs.
    more
        Lines that come last before the script.
    """
    output = shlex.quote(f"{batch.log_folder}/{batch.job_name}-")
    lines = [
        "#!/bin/bash",
        f'export ADAPTIVE_SCHEDULER_NUMBER="${{PBS_ARRAY_INDEX:-${{PBS_ARRAYID:-{block[0]}}}}}"',
        "export ADAPTIVE_SCHEDULER_RESTARTS=0",
        f'_output={output}"$ADAPTIVE_SCHEDULER_NUMBER-$PBS_JOBID.out"',
        'if [ -e "$_output" ]; then',
        f"    echo '{_AGAIN}' >> \"$_output\"",
        f"    ADAPTIVE_SCHEDULER_RESTARTS=$(grep -acxF '{_AGAIN}' \"$_output\")",
        "fi",
        'exec >> "$_output" 2>&1',
        *_umask(),
        f"export PBS_O_WORKDIR={shlex.quote(str(batch.workdir))}",
        'cd -- "$PBS_O_WORKDIR" || exit',
        *more,
    ]
    return "\n".join(lines) + "\n" + batch.script


def _umask() -> list[str]:
    """Return the line that gives the files of jobs the same rights as the user's other files."""
    # Asking the system for it would change it for a moment, in all threads.
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return []
    match = re.search(r"^Umask:\s*([0-7]+)$", status, re.MULTILINE)
    return [f"umask {match[1]}"] if match else []


def parse_submit(block: Block, answer: Finished) -> dict[int, str]:
    """Return the id of each job of a block by its number, out of what qsub printed.

    Raises
    ------
    SchedulerUnavailableError
        If it does not tell them.
    """
    # A site may print a greeting before it.
    found = re.finditer(r"^(\d+)(\[\])?(\.\S+)?\s*$", answer.stdout, re.MULTILINE)
    match = next(reversed([*found]), None)
    if match is None or (match[2] is None) != (len(block) == 1):
        raise SchedulerUnavailableError(f"qsub did not tell the id of a job: {answer.complaint}")
    job, brackets, server = match.groups(default="")
    return {n: f"{job}[{n}]{server}" if brackets else f"{job}{server}" for n in block}
