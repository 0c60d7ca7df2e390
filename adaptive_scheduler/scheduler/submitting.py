"""What is looked at before jobs are submitted, and what a failure means, for every scheduler."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from adaptive_scheduler._common.formatting import counted
from adaptive_scheduler.errors import (
    InvalidInputError,
    SchedulerError,
    SchedulerUnavailableError,
    SubmissionRejectedError,
)
from adaptive_scheduler.scheduler.jobs import Batch


def check_on_path(command: str, system: str) -> None:
    """Check that the command that submits jobs to a system is here.

    Raises
    ------
    InvalidInputError
        If it isn't.
    """
    if shutil.which(command) is None:
        raise InvalidInputError(
            f"There is no {command} on PATH: this is no machine from which jobs are submitted to "
            f"{system}. Log in to one, or use `scheduler.Local`."
        )


def make_log_folder(batch: Batch) -> None:
    """Make the folder for the output of jobs: schedulers make none, and such jobs fail or hang.

    Raises
    ------
    SubmissionRejectedError
        If it can't be made.
    """
    try:
        batch.log_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SubmissionRejectedError(
            f"The output of '{batch.job_name}' can't be written to '{batch.log_folder}': "
            f"{error.strerror}. Name another folder with `log_folder=...`."
        ) from error


def own_umask() -> int | None:
    """Return which permissions the files of this process don't get; None if nothing tells.

    The files of its jobs don't get them either.
    """
    # `os.umask` would have to change it for a moment, in all threads, to tell it.
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return None


def submission_error(
    words: str, batch: Batch, *, command: str, doubtful: Iterable[str], hints: Mapping[str, str]
) -> SchedulerError:
    """Return the error for a submission that has failed.

    Parameters
    ----------
    words
        What the scheduler said.
    batch
        What was to be submitted.
    command
        The name of the command that was to do it.
    doubtful
        Phrases after which the jobs may exist, or may be taken at another time.
        After all other words they were refused.
    hints
        What to do, by phrases of a refusal; the first that occurs counts.
    """
    words = words.partition("\nusage:")[0]  # a list of all options may follow
    quoted = textwrap.indent(words, "    ")
    if any(phrase in words for phrase in doubtful):
        return SchedulerUnavailableError(
            f"It is not known whether {command} has submitted jobs of '{batch.job_name}':\n{quoted}"
        )
    hint = next((hint for phrase, hint in hints.items() if phrase in words), "")
    jobs = counted(len(batch.numbers), "job")
    return SubmissionRejectedError(
        f"{command} refused the jobs of '{batch.job_name}' ({jobs}, {batch.resources}):\n"
        f"{quoted}\nScript: {batch.script_path}. {hint}".rstrip()
    )
