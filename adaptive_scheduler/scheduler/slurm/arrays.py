"""Jobs as arrays: how numbers become indices, and ids become numbers again.

The index of a job in its array is its number, so that a crashed job 7 comes
back as job 7. A site limits indices; numbers beyond the limit are shifted by a
multiple of a power of ten, which the script gets as its first argument::

    numbers 0, 3, 999     --array=0,3,999   shift 0
    numbers 1000, 1002    --array=0,2       shift 1000
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Final

from adaptive_scheduler.errors import SchedulerUnavailableError, SubmissionRejectedError
from adaptive_scheduler.scheduler.command import Finished
from adaptive_scheduler.scheduler.jobs import Batch
from adaptive_scheduler.scheduler.script import JobVariables

#: How a running job learns who it is, in an array or alone. Source: sbatch(1),
#: "OUTPUT ENVIRONMENT VARIABLES".
VARIABLES: Final = JobVariables(
    job_id="${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}",
    number="$((${SLURM_ARRAY_TASK_ID:-0} + ${1:-0}))",
    restarts="${SLURM_RESTART_COUNT:-0}",
)

#: The last word of a job's comment: our token, and the shift of its array.
_MARK = re.compile(r"(?:^|.*\s)adaptive-scheduler=(?P<token>\S+)\+(?P<shift>\d+)", re.DOTALL)
_ID = re.compile(r"(?P<array>\d+)(?:_(?P<index>\d+))?")
#: Ids of jobs in one call of scancel; a command line has 128 kB for each word at least.
_IDS_PER_CALL = 1_000


@dataclass(frozen=True)
class Block:
    """Jobs of a batch that one call of sbatch submits.

    Attributes
    ----------
    shift
        What a job's number has more than its index.
    indices
        The indices in the array; None for a job that is submitted alone.
    """

    shift: int
    indices: tuple[int, ...] | None

    def ids(self, job_id: str) -> dict[int, str]:
        """Return the id of each job by its number, when the block got `job_id`."""
        if self.indices is None:
            return {self.shift: job_id}
        return {self.shift + index: f"{job_id}_{index}" for index in self.indices}


def blocks(numbers: Iterable[int], array_size: int) -> Iterator[Block]:
    """Yield the blocks in which jobs with ascending numbers are submitted.

    Parameters
    ----------
    numbers
        Of the jobs.
    array_size
        One more than the largest index of an array; there are none below 2.
    """
    size = block_size(array_size)
    if size == 1:
        yield from (Block(number, None) for number in numbers)
        return
    for n, members in groupby(numbers, lambda number: number // size):
        yield Block(n * size, tuple(number % size for number in members))


def block_size(array_size: int) -> int:
    """Return the largest power of ten that is a number of indices."""
    return int(10 ** (len(str(max(array_size, 1))) - 1))


def submit_command(
    batch: Batch, block: Block, array_size: int, options: Iterable[str]
) -> list[str]:
    """Return the command that submits a block of jobs.

    All options are given here, whether or not the script has them, too: the
    command line wins over the environment, and the environment over the script.

    Parameters
    ----------
    batch, block
        The jobs.
    array_size
        As for `blocks`.
    options
        What the jobs ask for, written as in the head of a script.

    Raises
    ------
    SubmissionRejectedError
        If Slurm could not write the jobs' output where it is wanted.
    """
    words = [word for option in options for word in shlex.split(option)]
    if block.indices is None:
        jobs = [f"--job-name={batch.name_of(block.shift)}"]
    else:
        jobs = [f"--job-name={batch.job_name}", f"--array={ranges(block.indices)}"]
    return [
        "sbatch",
        "--parsable",
        *words,
        *jobs,
        f"--comment={_comment(batch, block, words)}",
        f"--chdir={batch.workdir}",
        f"--output={_output(batch, block, array_size)}",
        str(batch.script_path),
        str(block.shift),
    ]


def _comment(batch: Batch, block: Block, words: Sequence[str]) -> str:
    """Return the user's comment, if there is one, with our words after it."""
    users = [word.removeprefix("--comment=") for word in words if word.startswith("--comment=")]
    users += [word for option, word in pairwise(words) if option == "--comment"]
    return " ".join([*users[-1:], f"adaptive-scheduler={batch.token}+{block.shift}"])


def _output(batch: Batch, block: Block, array_size: int) -> str:
    """Return the pattern of the files for the jobs' output.

    The number of a job comes out of the shift and the index with zeros before it.
    """
    if "\\" in str(batch.log_folder) or "\\" in batch.job_name:
        raise SubmissionRejectedError(
            f"Slurm can't write the output of '{batch.job_name}' to '{batch.log_folder}': it "
            "would take the backslash for a sign of its own. Choose another name or folder."
        )
    head = _literal(f"{batch.log_folder}/{batch.job_name}-")
    if block.indices is None:
        return f"{head}{block.shift}-%j.out"
    size = block_size(array_size)
    digits = len(str(size)) - 1
    number = "%a" if block.shift == 0 else f"{block.shift // size}%{digits}a"
    return f"{head}{number}-%A_%a.out"


def _literal(text: str) -> str:
    return text.replace("%", "%%")


def parse_submit(answer: Finished) -> str:
    """Return the id of what was submitted.

    Raises
    ------
    SchedulerUnavailableError
        If sbatch does not tell it.
    """
    # A site may print a greeting before it; in a federation the cluster follows.
    match = re.search(r"^(\d+)(;.*)?$", answer.stdout.strip(), re.MULTILINE)
    if match is None:
        raise SchedulerUnavailableError(f"sbatch did not tell the id of a job: {answer.complaint}")
    return match[1]


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


def ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers as Slurm writes them: ``0-3,7``."""
    parts = []
    # Members of a range have the same distance to their places.
    for _, places in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        members = [number for _, number in places]
        first, last = members[0], members[-1]
        parts.append(str(first) if first == last else f"{first}-{last}")
    return ",".join(parts)
