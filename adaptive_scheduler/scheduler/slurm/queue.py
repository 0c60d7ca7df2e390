"""The queue of Slurm, as squeue shows it."""

from __future__ import annotations

import datetime as dt
import os
from typing import Final

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler.jobs import Phase, QueuedJob, queued_job
from adaptive_scheduler.scheduler.slurm.arrays import numbered

#: Separators that nobody types: names and comments may hold anything else, line breaks included.
_RECORD, _FIELD = "\x1e", "\x1f"
#: Id, state, reason, time of submission, comment, name. Of the ids only this one is stable and
#: unique.
_FIELDS: Final = ("%i", "%T", "%r", "%V", "%k", "%j")

# All states are in one of these tables, but those that nobody has heard of.
# Source: squeue(1), "JOB STATE CODES".

#: States from which no job comes back.
ENDED: Final = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "TIMEOUT",
    }
)
#: States of jobs that have begun, and are not ended; a job that is revoked here has begun on
#: another cluster of the federation.
_RUNNING: Final = frozenset(
    {"RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING", "REVOKED"}
)
#: Jobs whose processes are being ended, however long a node takes for that.
_ENDING: Final = frozenset({"COMPLETING"})
#: States of jobs of which nothing runs: they have not begun, or will begin again.
_PENDING: Final = frozenset(
    {"PENDING", "CONFIGURING", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
)
#: States of jobs that will begin again, and may still be ending.
_REQUEUED: Final = frozenset({"REQUEUED", "REQUEUE_FED"})
#: Why Slurm itself has put a pending job aside, until somebody releases it: its launch has
#: failed, it was requeued too often. That people hold a job has other words.
# Source: the reasons that slurmctld gives, and squeue(1), "JOB REASON CODES".
_STUCK: Final = frozenset({"launch failed requeued held", "JobHoldMaxRequeue"})
#: What squeue writes for "nothing".
_NOTHING: Final = frozenset({"None", "(null)", "N/A", ""})


def queue_command(*, me_only: bool = True) -> list[str]:
    """Return the command that lists jobs, one line each, even those of an array."""
    users = [f"--user={os.getuid()}"] if me_only else []
    return [*squeue(), *users, f"--format={_RECORD}{_FIELD.join(_FIELDS)}"]


def squeue() -> list[str]:
    """Return the beginning of a command that leaves no job out.

    Without ``--all``, jobs in hidden partitions would seem to be gone. In a
    federation the cluster at which a job was submitted knows it wherever it
    runs, so that only this one is asked: one that does not answer is left out
    without a word.
    """
    return ["squeue", "--noheader", "--array", "--all", "--local"]


def parse_queue(stdout: str) -> dict[str, QueuedJob]:
    """Read the output of `queue_command`.

    Raises
    ------
    SchedulerUnavailableError
        If it is not what squeue prints.
    """
    _, *records = stdout.split(_RECORD)
    jobs = {}
    for record in records:
        fields = record.removesuffix("\n").split(_FIELD, len(_FIELDS) - 1)
        if len(fields) != len(_FIELDS):
            raise SchedulerUnavailableError(f"squeue printed what can't be read: {record!r}")
        job_id, state, reason, submitted, comment, name = fields
        job_name, token = numbered(name, job_id, comment)
        jobs[job_id] = queued_job(
            job_name=job_name,
            state=state,
            phase=_phase(state, reason),
            reason=_reason(state, reason),
            token=token,
            submitted=_time(submitted),
        )
    return jobs


def _time(text: str) -> float | None:
    """Return the seconds since the epoch of a time that squeue wrote where it is UTC."""
    try:
        return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()
    except ValueError:
        return None  # "N/A" or "Unknown"


def _phase(state: str, reason: str) -> Phase:
    if state in _PENDING:
        return "stuck" if reason.replace("_", " ") in _STUCK else "pending"
    if state in _RUNNING:
        return "running"
    if state in _ENDING:
        return "ending"
    return "over" if state in ENDED else "unknown"


def _reason(state: str, reason: str) -> str:
    if reason not in _NOTHING:
        return reason
    return "not looked at yet" if state in _PENDING | _REQUEUED else ""
