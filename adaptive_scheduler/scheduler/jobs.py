"""Jobs as we hand them to a scheduler, and as it shows them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias, TypedDict

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.scheduler.resources import Resources

#: Where a job in the queue stands.
#:
#: ======= =====================================================================
#: phase   meaning
#: ======= =====================================================================
#: pending in line for a start, or for another one: nothing of it runs
#: stuck   put aside by the scheduler, which could not start it and won't try again
#: running begun, be it suspended
#: ending  being ended: it frees what it had
#: over    ended, and it won't come back
#: unknown in a state that tells none of these, or that nobody has heard of
#: ======= =====================================================================
Phase: TypeAlias = Literal["pending", "stuck", "running", "ending", "over", "unknown"]
_STARTED: Final = ("running", "ending")


class QueuedJob(TypedDict):
    """A job as the queue shows it."""

    job_name: str
    #: The scheduler's own word.
    state: str
    #: What that means.
    phase: Phase
    #: Whether the job may still run, or come back. True for states nobody has heard of: better
    #: to wait for a job that has ended than to start a second one beside it.
    alive: bool
    #: Whether it has been started.
    running: bool
    #: Why it is pending, held or has ended, in the scheduler's words.
    reason: str
    #: Of a `Batch`, where the scheduler keeps it; else empty.
    token: str
    #: When the scheduler took the job, in seconds since the epoch; after a requeue, when it
    #: took it back. None if it does not say.
    submitted: float | None


def queued_job(
    *,
    job_name: str,
    state: str,
    phase: Phase,
    reason: str = "",
    token: str = "",
    submitted: float | None = None,
) -> QueuedJob:
    """Return a job as the queue shows it, from where it stands."""
    return QueuedJob(
        job_name=job_name,
        state=state,
        phase=phase,
        alive=phase != "over",
        running=phase in _STARTED,
        reason=reason,
        token=token,
        submitted=submitted,
    )


@dataclass(frozen=True, kw_only=True)
class JobEnd:
    """How a job ended, as far as the scheduler can tell.

    Attributes
    ----------
    state
        The scheduler's own word.
    exit_code
        Of the job's program; None if it did not end by itself, or nobody knows.
    reason
        The scheduler's words about it.
    is_no_fault
        Whether the machine or a more urgent job ended it, and not what it did.
    """

    state: str = "UNKNOWN"
    exit_code: int | None = None
    reason: str = ""
    is_no_fault: bool = False

    def __str__(self) -> str:
        code = "" if self.exit_code is None else f", exit code {self.exit_code}"
        return f"{self.state}{code}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Jobs that are submitted in one call.

    Attributes
    ----------
    job_name
        What the names of the jobs begin with; job ``i`` is named ``{job_name}-{i}``.
    numbers
        The numbers of the jobs, ascending.
    script
        Text of the job script, the same for all of them.
    script_path
        Where that text lies for the user to read.
    resources
        What each of the jobs asks for.
    workdir
        The folder in which the jobs start.
    log_folder
        The folder in which the jobs' output goes.
    token
        A word of ours, see `new_token`, that the scheduler keeps with each job.
    """

    job_name: str
    numbers: tuple[int, ...]
    script: str
    script_path: Path
    resources: Resources
    workdir: Path
    log_folder: Path
    token: str

    def name_of(self, number: int) -> str:
        """Return the name of job `number`."""
        return f"{self.job_name}-{number}"


class JobArray(NamedTuple):
    """Jobs of a batch that one command submits.

    Attributes
    ----------
    numbers
        Of the jobs, ascending.
    is_array
        Whether they are members of an array; else it is one job alone.
    shift
        What the number of a job has more than its index in the array.
    """

    numbers: Sequence[int]
    is_array: bool = False
    shift: int = 0


def new_token(run_id: str) -> str:
    """Return a token for a submission: ``{run_id}.{nonce}``.

    The scheduler keeps it with each job, and the queue shows it. So jobs are
    known to belong to a run, whatever their names, and a submission whose
    answer was lost is found again.

    Parameters
    ----------
    run_id
        The id of the run; empty for jobs that belong to none.
    """
    nonce = secrets.token_hex(4)
    return f"{run_id}.{nonce}" if run_id else nonce


def run_id_of(token: str) -> str:
    """Return the id of the run in a token; empty if it has none."""
    run_id, dot, _ = token.rpartition(".")
    return run_id if dot else ""


def number_of(job_name: str) -> tuple[str, int]:
    """Return what a job's full name begins with, and the job's number.

    Raises
    ------
    InvalidInputError
        If the name does not end in a number.
    """
    prefix, _, number = job_name.rpartition("-")
    if not prefix or not number.isdecimal():
        raise InvalidInputError(f"{job_name!r} is not a job's full name, such as 'sweep-7'.")
    return prefix, int(number)
