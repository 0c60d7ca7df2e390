"""How jobs are submitted to PBS and deleted: arrays, commands, and what these answer.

The index of a job in its array is its number. An array of PBS is a first and a
last index and a step, so other numbers need several calls::

    numbers 0, 1, 2, 3         -J 0-3
    numbers 0, 2, 3, 4, 6      -J 0-6:2, and 3 alone
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from adaptive_scheduler.scheduler.base import own_umask
from adaptive_scheduler.scheduler.command import Commands, Finished
from adaptive_scheduler.scheduler.jobs import Batch, JobArray
from adaptive_scheduler.scheduler.script import COUNTED_RESTARTS, JobVariables, restart_lines

#: Ids in one call of qstat or qdel; the server takes some milliseconds for each.
IDS_PER_CALL: Final = 500

#: What qstat and qdel say of jobs that are gone: no error.
GONE: Final = ("Unknown Job Id", "Job has finished", "not configured to maintain job history")

#: What is said of a first server that is down, where a second one takes its place.
#: Where there is none, more words follow.
NOISE: Final = frozenset({"Connection refused", "Connection timed out", "Unknown Host."})

#: After these words of qsub the jobs may exist, or may be taken at another
#: time. All else is the server's decision. Source: the texts of OpenPBS's
#: pbs_messages.c and pbs_ifl errors about communication, about the server's
#: own trouble and about credentials (munge may be down for a while), and what
#: qsub was seen to say.
DOUBTFUL: Final = (
    "cannot connect to server",
    "Couldn't connect to cluster",
    "Connection refused",
    "Connection reset",
    "Connection timed out",
    "Communication failure",
    "Broken pipe",
    "End of File",
    "Premature end of message",
    "Protocol (ASN.1) error",
    "Batch protocol error",
    "Server is shutting down",
    "Server shutting down",
    "PBS server internal error",
    "System error",
    "Failed to save job",
    "No free connections",
    "Server connection table full",
    "Invalid credential",
    "Expired credential",
    "Resource temporarily unavailable",
    "timed out",
    "got an alarm call",  # a hook of the site took too long
)

_CHOOSE_A_QUEUE: Final = "See the queues with `qstat -Q`, and set `queue=...` in PBS(...)."
#: What to do after some words of qsub; the first that occur count.
HINTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Bad UID": "PBS lets some users, such as root, run no jobs.",
        "Unauthorized": "PBS does not let you submit jobs, or not from this host.",
        "Unknown queue": _CHOOSE_A_QUEUE,
        "Queue is not enabled": _CHOOSE_A_QUEUE,
        "Access to queue is denied": _CHOOSE_A_QUEUE,
        "No default queue": _CHOOSE_A_QUEUE,
        "limit on resource": "Ask for less, or set `max_simultaneous_jobs` to fewer jobs.",
        "would exceed": "Set `max_simultaneous_jobs` to as many jobs as you may have.",
        "Maximum number of jobs": "Set `max_simultaneous_jobs` to as many jobs as you may have.",
        "resource limits": "`qstat -Qf` tells what a queue lets jobs ask for.",
        "rejected by all possible destinations": "`qstat -Qf` tells what each queue takes.",
        "Invalid Account": (
            'Name yours with `extra_scheduler=["-A account"]`, or with "-P project".'
        ),
        'cannot be used with "select"': (
            "Say `memory=...`, or the whole of it with `select=...`, instead of `-l` in "
            "`extra_scheduler`."
        ),
        "Illegal attribute or resource value": (
            "Look at `walltime`, `memory`, `select` and `extra_scheduler`."
        ),
        "Unknown resource": "`pbsnodes -av` tells what nodes have under resources_available.",
        "cr, lf": "Lines of `extra_script` end as on Windows; they must end as on Linux.",
        "illegal -N value": "Names of jobs may be too long, or begin with what PBS does not take.",
        "illegal": "Look at the options in `extra_scheduler`.",
        "invalid option": "Look at the options in `extra_scheduler`.",
    }
)

#: What qsub says of an array that is too large for the server, or for one of its queues.
_TOO_LARGE: Final = "Array job exceeds server or queue size limit"
#: What qdel says of jobs that it need not end, or that are about to end.
#: Source: OpenPBS's pbs_messages.c and req_delete.c.
NOT_TO_CANCEL: Final = (
    *GONE,
    "Request invalid for state of job",
    "Request invalid for finished array subjob",
    "Delete already in progress",
    "illegally formed job identifier",
)
#: What it says of a running job whose node does not answer. Such a job would
#: stay until the node is given up, and then run again somewhere else.
_IS_LOST: Final = re.compile(r".*Server could not connect to MOM.*?(?P<id>\d+(?:\[\d*\])?\.\S+)")

#: How many distances between numbers are tried; more would make thousands of them slow.
_DISTANCES: Final = 16

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

#: Our words on a job, see `write_mark`.
_MARK = re.compile(
    r".*/adaptive-scheduler=(?P<token>[^/=+]+)\+(?P<number>\d*)=(?P<name>[^/]+)", re.DOTALL
)


# Arrays.


def arrays(numbers: Iterable[int], max_array_size: int) -> Iterator[JobArray]:
    """Yield the jobs that one call of qsub submits each; there are few such calls.

    Parameters
    ----------
    numbers
        Of the jobs, ascending.
    max_array_size
        How many jobs an array may have.
    """
    left = dict.fromkeys(numbers)
    while left:
        members = _longest(left)[: max(max_array_size, 1)]
        yield array_of(members)
        for number in members:
            del left[number]


def array_of(numbers: range) -> JobArray:
    """Return jobs with these numbers: an array, or one job alone, since PBS has no array of one."""
    return JobArray(numbers, is_array=len(numbers) > 1)


def _longest(left: dict[int, None]) -> range:
    """Return the longest range that begins with the first number, the densest of equals."""
    first, *seconds = islice(left, _DISTANCES + 1)
    found = [_extended(first, second - first, left) for second in seconds]
    return max(found, key=len, default=range(first, first + 1))


def _extended(first: int, step: int, members: dict[int, None]) -> range:
    end = first
    while end in members:
        end += step
    return range(first, end, step)


def array_option(numbers: Sequence[int]) -> str:
    """Return how PBS writes the indices of an array: ``0-9`` or ``0-9:3``."""
    step = numbers[1] - numbers[0]
    ending = f":{step}" if step > 1 else ""
    return f"{numbers[0]}-{numbers[-1]}{ending}"


# Submitting.


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


def in_halves(jobs: JobArray, answer: Finished) -> list[JobArray]:
    """Return the two halves of an array that is too large for a queue; nothing for all others."""
    if _TOO_LARGE not in answer.complaint or not jobs.is_array:
        return []
    middle = len(jobs.numbers) // 2
    return [
        JobArray(half, is_array=len(half) > 1)
        for half in (jobs.numbers[:middle], jobs.numbers[middle:])
    ]


def submit_command(
    batch: Batch, jobs: JobArray, options: Iterable[str], dialect: Dialect
) -> list[str]:
    """Return the command that submits some jobs of a batch; their script is its input.

    Parameters
    ----------
    batch, jobs
        What to submit.
    options
        What the jobs ask for, written as in the head of a script.
    dialect
        Which options qsub knows.
    """
    words = [word for option in options for word in shlex.split(option)]
    alone = None if jobs.is_array else jobs.numbers[0]
    command = [
        "qsub",
        "-N",
        _name(batch, alone, dialect),
        "-j",
        "oe",
        *_output(batch, alone, dialect),
    ]
    if alone is None and dialect.is_torque:
        command += ["-t", ",".join(map(str, jobs.numbers))]
    elif alone is None:
        command += ["-J", array_option(jobs.numbers)]
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
    marked = write_mark(batch, alone)
    start = f"{batch.log_folder}/{batch.job_name}-"
    if not dialect.writes_at_once or not all(map(_is_plain, (start, f"{start}{marked}"))):
        return ["-o", "/dev/null", "-e", f"/dev/{marked}"]
    number = "^array_index^" if alone is None else alone
    return ["-k", "oed", "-o", f"{start}{number}.out", "-e", f"{batch.log_folder}/{marked}"]


def _is_plain(path: str) -> bool:
    return _PLAIN_PATH.fullmatch(path) is not None and len(path) <= _LONGEST_PATH


def parse_submit(stdout: str, jobs: JobArray) -> dict[int, str]:
    """Return the id of each job by its number, out of what qsub printed; nothing if it has none.

    A site may print a greeting before it.
    """
    found = re.finditer(r"^(\d+)(\[\])?(\.\S+)?\s*$", stdout, re.MULTILINE)
    match = next(reversed([*found]), None)
    if match is None or (match[2] is not None) != jobs.is_array:
        return {}
    job, _, server = match.groups(default="")
    return {n: f"{job}[{n}]{server}" if jobs.is_array else f"{job}{server}" for n in jobs.numbers}


# Our words on a job.


class Mark(NamedTuple):
    """What is written on a job, by which it is known as one of ours.

    Attributes
    ----------
    token
        Of the submission.
    number
        Of the job; None for members of an array, whose index is their number.
    job_name
        What the job's name begins with.
    """

    token: str
    number: int | None
    job_name: str


def write_mark(batch: Batch, number: int | None) -> str:
    """Return the last part of the path that marks jobs of a batch.

    PBS has no field for comments of users, and what it has is mangled
    (``Variable_List``), used by sites to account for time (``-A``, ``-P``), or left
    out for running members of arrays (``Submit_arguments``). The path of a job's
    errors survives word for word everywhere, and is not opened when errors go
    where the output goes (``-j oe``). So it is a path in the log folder whose last
    part has the token of the submission, the number of a job that is alone, and
    what the names of the jobs begin with::

        /home/alice/run/logs/adaptive-scheduler=3f0c9a+7=sweep
    """
    token, name = quote(batch.token, safe=""), quote(batch.job_name, safe="")
    return f"adaptive-scheduler={token}+{'' if number is None else number}={name}"


def read_mark(path: str) -> Mark | None:
    """Return the mark in a path of errors; None if the job is not one of ours."""
    match = _MARK.fullmatch(path)
    if match is None:
        return None
    number = int(match["number"]) if match["number"] else None
    return Mark(unquote(match["token"]), number, unquote(match["name"]))


# Deleting.


def delete_commands(job_ids: Sequence[str]) -> Iterator[list[str]]:
    """Yield the commands that delete jobs, arrays and members of arrays."""
    for start in range(0, len(job_ids), IDS_PER_CALL):
        yield ["qdel", *job_ids[start : start + IDS_PER_CALL]]


def delete(commands: Commands, command: Sequence[str], *, can_force: bool) -> None:
    """Ask PBS to end some jobs; those that it doesn't know are no error.

    Parameters
    ----------
    commands
        What runs qdel.
    command
        One of `delete_commands`.
    can_force
        Whether qdel knows ``-W force``, with which the server lets go of jobs
        whose nodes don't answer.

    Raises
    ------
    SchedulerUnavailableError
        If it is not known whether it will.
    """
    answer = commands.look(command)
    lost = _lost(answer.stderr) if can_force else []
    if lost:
        commands.ask(("qdel", "-W", "force", *lost), harmless=NOT_TO_CANCEL)
    commands.checked(answer, harmless=(*NOT_TO_CANCEL, *lost))


def _lost(complaints: str) -> list[str]:
    matches = map(_IS_LOST.fullmatch, complaints.splitlines())
    return [match["id"] for match in matches if match is not None]


#: What a job learns from its environment. PBS tells its id; the rest comes from the
#: lines before the script.
VARIABLES: Final = JobVariables(
    job_id="$PBS_JOBID",
    number="${ADAPTIVE_SCHEDULER_NUMBER:-${PBS_ARRAY_INDEX:-0}}",
    restarts=COUNTED_RESTARTS,
    cores="${NCPUS:-}",
    # The file names a node for each process.
    slots='$(wc -w < "${PBS_NODEFILE:-/dev/null}")',
)


def sent_script(batch: Batch, jobs: JobArray, more: Sequence[str] = ()) -> str:
    """Return what is sent for some jobs of a batch: the lines before the script, and the script.

    A script of PBS takes no arguments, starts in the user's home folder, and
    its output can't be given a name with the job's id in it. So a few lines of
    shell come before the job script. qsub reads no options after them: all are
    given on its command line.

    Parameters
    ----------
    batch, jobs
        What is submitted.
    more
        Lines that come last before the script.
    """
    output = shlex.quote(f"{batch.log_folder}/{batch.job_name}-")
    umask = own_umask()
    number = f"${{PBS_ARRAY_INDEX:-${{PBS_ARRAYID:-{jobs.numbers[0]}}}}}"
    lines = [
        "#!/bin/bash",
        f'export ADAPTIVE_SCHEDULER_NUMBER="{number}"',
        f'_output={output}"$ADAPTIVE_SCHEDULER_NUMBER-$PBS_JOBID.out"',
        *restart_lines('"$_output"', "PBS"),
        'exec >> "$_output" 2>&1',
        "" if umask is None else f"umask {umask:04o}",
        f"export PBS_O_WORKDIR={shlex.quote(str(batch.workdir))}",
        'cd -- "$PBS_O_WORKDIR" || exit',
        *more,
    ]
    return "\n".join(lines) + "\n" + batch.script
