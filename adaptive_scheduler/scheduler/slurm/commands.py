"""How jobs are submitted to Slurm and cancelled: arrays, commands, and what these answer.

The index of a job in its array is its number, so that a crashed job 7 comes
back as job 7. A site limits indices; numbers beyond the limit are shifted by a
multiple of a power of ten, which the script gets as its first argument::

    numbers 0, 3, 999     --array=0,3,999   shift 0
    numbers 1000, 1002    --array=0,2       shift 1000
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from types import MappingProxyType
from typing import Final

from adaptive_scheduler.errors import SubmissionRejectedError
from adaptive_scheduler.scheduler.command import Commands
from adaptive_scheduler.scheduler.jobs import Batch, JobArray
from adaptive_scheduler.scheduler.script import JobVariables

#: What a job learns from its environment, in an array or alone. Source: sbatch(1), "OUTPUT
#: ENVIRONMENT VARIABLES".
VARIABLES: Final = JobVariables(
    job_id="${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}",
    number="$((${SLURM_ARRAY_TASK_ID:-0} + ${1:-0}))",
    restarts="${SLURM_RESTART_COUNT:-0}",
    # Tasks are told as "2(x3),1": three nodes with two and one with one.
    cores=(
        "$(tasks=${SLURM_TASKS_PER_NODE:-1}; "
        "echo $((${tasks%%[!0-9]*} * ${SLURM_CPUS_PER_TASK:-0})))"
    ),
    slots="$(echo $(($(sed 's/(x/*/g; s/)//g; s/,/+/g' <<< \"$SLURM_TASKS_PER_NODE\"))))",
)

#: Variables that the commands don't get. By some, users change what they see: a squeue that
#: leaves jobs out by SQUEUE_STATES would make us believe that they are gone. Where this process
#: runs in a job itself, SLURM_* speak of that job, but for those that say where Slurm is. With
#: others, sbatch would wait for the end of the jobs, or send them where nobody looks for them.
#: Source: squeue(1), scancel(1), sinfo(1), sacct(1) and sbatch(1), "ENVIRONMENT VARIABLES".
HIDDEN_VARIABLES: Final = re.compile(
    r"(SQUEUE|SCANCEL|SINFO|SACCT)_.*"
    r"|SLURM_(?!(CONF|CONF_SERVER|CLUSTERS|JWT)$).*"
    r"|SBATCH_(WAIT|CLUSTERS)"
)

#: After these words of sbatch the jobs may exist, or may be taken at another time. All
#: else is Slurm's decision. Source: the messages of src/common/slurm_errno.c
#: about communication, and what sbatch was seen to say.
DOUBTFUL: Final = (
    "Socket timed out",
    "Unable to contact slurm controller",
    "Zero Bytes were transmitted or received",
    "Communication connection failure",
    "Communication shutdown failure",
    "Message receive failure",
    "Message send failure",
    "Unexpected message received",
    "Insane message length",
    "Protocol authentication error",
    "Connection refused",
    "Connection reset by peer",
    "Connection timed out",
    "Transport endpoint is not connected",
    "Broken pipe",
    "Host name lookup failure",
    "backup controller in standby",
    "Resource temporarily unavailable",  # there are MaxJobCount jobs
    "temporarily unable to accept job",
)

#: What to do after some words of sbatch; the first that occur count.
HINTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "nvalid partition": "`slurm_partitions()` tells which there are, as sinfo does in a shell.",
        "Invalid account": "Set `account=...`; `sacctmgr show assoc user=$USER` lists yours.",
        "SubmitJob": "Set `max_simultaneous_jobs` to the number of jobs that you may have.",
        "policy": (
            "`sacctmgr show assoc user=$USER` and `scontrol show partition` tell your limits."
        ),
        "Invalid qos": "Set `qos=...`; `sacctmgr show assoc user=$USER` lists yours.",
        "Invalid feature": "Set `constraint=...` to what `sinfo --format='%N %f'` shows of a node.",
        "generic resource": "Set `gpus=...` or `gres=...` to what `sinfo --format='%N %G'` shows.",
        "node configuration": "`sinfo --Node --long` shows the cores and the memory of each node.",
        "configuration source": "Log in to a machine that has the configuration of Slurm.",
        "unrecognized option": "Look at the options in `extra_scheduler`.",
    }
)

#: The last word of a job's comment: our token, and the shift of its array.
_MARK = re.compile(r"(?:^|.*\s)adaptive-scheduler=(?P<token>\S+)\+(?P<shift>\d+)", re.DOTALL)
_ID = re.compile(r"(?P<array>\d+)(?:_(?P<index>\d+))?")
#: Ids of jobs in one call of scancel; a command line has 128 kB for each word at least.
_IDS_PER_CALL: Final = 1_000


def slurm_commands(timeout: float | None = None) -> Commands:
    """Return what runs the commands of Slurm that ask, outside of a scheduler.

    Parameters
    ----------
    timeout
        Seconds that each gets; None for as many as usual.
    """
    return Commands(hidden=HIDDEN_VARIABLES, timeout=timeout)


# Arrays.


def arrays(numbers: Iterable[int], array_size: int) -> Iterator[JobArray]:
    """Yield the jobs that one call of sbatch submits each.

    Parameters
    ----------
    numbers
        Of the jobs, ascending.
    array_size
        One more than the largest index of an array; there are none below 2.
    """
    size = 10 ** (len(str(max(array_size, 1))) - 1)  # how many indices are used
    if size == 1:
        yield from (JobArray((number,), shift=number) for number in numbers)
        return
    for n, members in groupby(numbers, lambda number: number // size):
        yield JobArray(tuple(members), is_array=True, shift=n * size)


def ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers as Slurm writes them: ``0-3,7``."""
    parts = []
    # Members of a range have the same distance to their places.
    for _, places in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        members = [number for _, number in places]
        first, last = members[0], members[-1]
        parts.append(str(first) if first == last else f"{first}-{last}")
    return ",".join(parts)


# Submitting.


def submit_command(batch: Batch, jobs: JobArray, options: Iterable[str]) -> list[str]:
    """Return the command that submits some jobs of a batch.

    All options are given here, whether or not the script has them, too: the
    command line wins over the environment, and the environment over the script.
    The command reads the script from its input: what lies in the run folder by
    then may be another user's.

    Parameters
    ----------
    batch, jobs
        What to submit.
    options
        What the jobs ask for, written as in the head of a script.

    Raises
    ------
    SubmissionRejectedError
        If Slurm could not write the jobs' output where it is wanted.
    """
    words = [word for option in options for word in shlex.split(option)]
    if jobs.is_array:
        indices = [number - jobs.shift for number in jobs.numbers]
        which = [f"--job-name={batch.job_name}", f"--array={ranges(indices)}"]
    else:
        which = [f"--job-name={batch.name_of(jobs.shift)}"]
    return [
        "sbatch",
        "--parsable",
        *words,
        *which,
        f"--comment={_comment(batch, jobs, words)}",
        f"--chdir={batch.workdir}",
        f"--output={_output(batch, jobs)}",
        "/dev/stdin",  # the script, which may get arguments only if it is named
        str(jobs.shift),
    ]


def _comment(batch: Batch, jobs: JobArray, words: Sequence[str]) -> str:
    """Return the user's comment, if there is one, with our words after it."""
    users = [word.removeprefix("--comment=") for word in words if word.startswith("--comment=")]
    users += [word for option, word in pairwise(words) if option == "--comment"]
    return " ".join([*users[-1:], f"adaptive-scheduler={batch.token}+{jobs.shift}"])


def _output(batch: Batch, jobs: JobArray) -> str:
    """Return the pattern of the files for the jobs' output, which bear the jobs' numbers.

    Slurm writes an index with as many digits as the shift has zeros, after the
    other digits of the shift: 17, shifted by 2000, is written as ``2`` and ``017``.
    """
    if "\\" in str(batch.log_folder) or "\\" in batch.job_name:
        raise SubmissionRejectedError(
            f"Slurm can't write the output of '{batch.job_name}' to '{batch.log_folder}': it "
            "would take the backslash for a sign of its own. Choose another name or folder."
        )
    head = f"{batch.log_folder}/{batch.job_name}-".replace("%", "%%")
    if not jobs.is_array:
        return f"{head}{jobs.shift}-%j.out"
    digits = str(jobs.shift).rstrip("0")
    n_zeros = len(str(jobs.shift)) - len(digits)
    number = "%a" if jobs.shift == 0 else f"{digits}%{n_zeros}a"
    return f"{head}{number}-%A_%a.out"


def parse_submit(stdout: str, jobs: JobArray) -> dict[int, str]:
    """Return the id of each job by its number, out of what sbatch printed; nothing if it has none.

    A site may print a greeting before it; in a federation the cluster follows.
    """
    match = re.search(r"^(\d+)(;.*)?$", stdout.strip(), re.MULTILINE)
    if match is None:
        return {}
    if not jobs.is_array:
        return {jobs.shift: match[1]}
    return {number: f"{match[1]}_{number - jobs.shift}" for number in jobs.numbers}


def numbered(name: str, job_id: str, comment: str) -> tuple[str, str]:
    """Return the full name and the token of a job in the queue.

    The name is as it is, and the token empty, unless the job is one of ours.
    """
    mark, parts = _MARK.fullmatch(comment), _ID.fullmatch(job_id)
    if mark is None or parts is None:
        return name, ""
    if parts["index"] is None:
        return name, mark["token"]
    return f"{name}-{int(mark['shift']) + int(parts['index'])}", mark["token"]


# Cancelling.


def cancel_commands(job_ids: Collection[str]) -> Iterator[list[str]]:
    """Yield the commands that cancel jobs; what can be no id is left out."""
    found = [match for match in map(_ID.fullmatch, job_ids) if match]
    alone = sorted({int(m["array"]) for m in found if m["index"] is None})
    tasks = sorted({(int(m["array"]), int(m["index"])) for m in found if m["index"] is not None})
    words = [*map(str, alone), *_task_words(tasks)]
    for start in range(0, len(words), _IDS_PER_CALL):
        yield ["scancel", *words[start : start + _IDS_PER_CALL]]


def _task_words(tasks: Sequence[tuple[int, int]]) -> Iterator[str]:
    for array, members in groupby(tasks, lambda task: task[0]):
        indices = [index for _, index in members]
        for start in range(0, len(indices), _IDS_PER_CALL):
            yield f"{array}_[{ranges(indices[start : start + _IDS_PER_CALL])}]"
