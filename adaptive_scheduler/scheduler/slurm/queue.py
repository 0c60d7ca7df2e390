"""The jobs of Slurm: the queue, as squeue shows it, and how jobs have ended.

The controller remembers ended jobs for a while (``MinJobAge``, 5 minutes by
default), the accounting for ever, where a site has one.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import signal
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler.jobs import JobEnd, Phase, QueuedJob, queued_job
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


#: Widths of the columns of squeue: id, state, status, reason.
_WIDTHS: Final = {"JobArrayID": 64, "State": 32, "exit_code": 16, "Reason": 128}
#: Ids in one call of sacct.
_IDS_PER_CALL: Final = 500
#: What Slurm says where there is nothing to say, or what the exit code says already.
_NO_REASON: Final = frozenset({"None", "", "NonZeroExitCode"})
#: States of jobs that were in nobody's way but the site's, or another job's.
_NO_FAULT: Final = frozenset({"BOOT_FAIL", "NODE_FAIL", "PREEMPTED"})
#: Output could not be written, the working folder was missing, and the like.
_NOT_LAUNCHED: Final = 53


def recent_command() -> list[str]:
    """Return the command that lists the user's jobs which have ended not long ago."""
    columns = ",".join(f"{name}:{width}" for name, width in _WIDTHS.items())
    states = ",".join(sorted(ENDED))
    user = f"--user={os.getuid()}"
    return [*squeue(), user, f"--states={states}", f"--Format={columns}"]


def parse_recent(stdout: str) -> dict[str, JobEnd]:
    """Read the output of `recent_command`."""
    ends = {}
    for line in stdout.splitlines():
        fields = list(_columns(line))
        if fields[1] in ENDED:
            job_id, state, status, reason = fields
            ends[job_id] = _end(state, *_read_status(status), reason)
    return ends


def _columns(line: str) -> Iterator[str]:
    start = 0
    for width in _WIDTHS.values():
        yield line[start : start + width].strip()
        start += width


def accounting_commands(job_ids: Collection[str]) -> Iterator[list[str]]:
    """Yield the commands that look for jobs in the accounting.

    In a federation, only the cluster on which a job has run knows how it has ended.
    """
    ids = sorted(job_ids)
    for start in range(0, len(ids), _IDS_PER_CALL):
        some = ",".join(ids[start : start + _IDS_PER_CALL])
        columns = "JobID,State,ExitCode"
        yield ["sacct", "--federation", "-n", "-P", "-X", f"--jobs={some}", f"--format={columns}"]


def parse_accounting(stdout: str) -> dict[str, JobEnd]:
    """Read the output of `accounting_commands`: a line for each start, the last one counts."""
    ends = {}
    for line in stdout.splitlines():
        fields = line.split("|")
        if len(fields) != 3 or not fields[1]:  # noqa: PLR2004  as many as were asked for
            continue
        job_id, words, status = fields
        state = words.split()[0]  # "CANCELLED by 1000"
        if state in ENDED:
            ends[job_id] = _end(state, *_read_status(status), "" if words == state else words)
        else:
            ends.pop(job_id, None)
    return ends


def _read_status(text: str) -> tuple[int | None, int]:
    """Return exit code and signal out of ``7:0``, or out of a number as wait(2) gives it."""
    if match := re.fullmatch(r"(\d+):(\d+)", text):
        return int(match[1]), int(match[2])
    if text.isdecimal():
        return int(text) >> 8 & 0xFF, int(text) & 0x7F
    return None, 0


def _end(state: str, code: int | None, signum: int, reason: str) -> JobEnd:
    reasons = [] if reason in _NO_REASON else [reason]
    if signum == _NOT_LAUNCHED:
        reasons.append("its folder or its output could not be opened")
    elif signum in set(signal.Signals):  # Slurm has numbers of its own, such as 125
        reasons.append(f"ended by {signal.Signals(signum).name}")
    ended_by_itself = state == "COMPLETED" or (state == "FAILED" and signum == 0)
    return JobEnd(
        state=state,
        exit_code=code if ended_by_itself else None,
        reason=", ".join(reasons),
        is_no_fault=state in _NO_FAULT,
    )
