"""The queue of Slurm, as squeue shows it."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler.jobs import Phase, QueuedJob, queued_job
from adaptive_scheduler.scheduler.slurm.commands import numbered

#: Separators that nobody types: names and comments may hold anything else, line breaks included.
_RECORD, _FIELD = "\x1e", "\x1f"
#: Id, state, reason, time of submission, comment, name. Of the ids only this one is stable and
#: unique.
_FIELDS: Final = ("%i", "%T", "%r", "%V", "%k", "%j")

#: Where a job stands that is in a state. Source: squeue(1), "JOB STATE CODES".
STATES: Final[Mapping[str, Phase]] = MappingProxyType(
    {
        # No job comes back from these.
        "BOOT_FAIL": "over",
        "CANCELLED": "over",
        "COMPLETED": "over",
        "DEADLINE": "over",
        "FAILED": "over",
        "NODE_FAIL": "over",
        "OUT_OF_MEMORY": "over",
        "PREEMPTED": "over",
        "TIMEOUT": "over",
        # Begun, and not ended.
        "RUNNING": "running",
        "SUSPENDED": "running",
        "STOPPED": "running",
        "SIGNALING": "running",
        "STAGE_OUT": "running",
        "RESIZING": "running",
        "REVOKED": "running",  # on another cluster of the federation
        # Its processes are being ended, however long a node takes for that.
        "COMPLETING": "ending",
        # Nothing of it runs: it has not begun, or will begin again.
        "PENDING": "pending",
        "CONFIGURING": "pending",
        "REQUEUE_HOLD": "pending",
        "RESV_DEL_HOLD": "pending",
        "SPECIAL_EXIT": "pending",
        # It will begin again, and may still be ending.
        "REQUEUED": "unknown",
        "REQUEUE_FED": "unknown",
    }
)
#: States from which no job comes back.
ENDED: Final = frozenset(state for state, phase in STATES.items() if phase == "over")
#: Why Slurm itself has put a pending job aside, until somebody releases it: its launch has
#: failed, it was requeued too often. That people hold a job has other words.
# Source: the reasons that slurmctld gives, and squeue(1), "JOB REASON CODES".
_STUCK: Final = frozenset({"launch failed requeued held", "JobHoldMaxRequeue"})
#: What squeue writes for "nothing".
_NOTHING: Final = frozenset({"None", "(null)", "N/A", ""})


def queue_command(*, me_only: bool) -> list[str]:
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
    phase = STATES.get(state, "unknown")
    return "stuck" if phase == "pending" and reason.replace("_", " ") in _STUCK else phase


def _reason(state: str, reason: str) -> str:
    if reason not in _NOTHING:
        return reason
    waits = state in STATES and STATES[state] in ("pending", "unknown")
    return "not looked at yet" if waits else ""
