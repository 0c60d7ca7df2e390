"""How jobs have ended.

The controller remembers ended jobs for a while (``MinJobAge``, 5 minutes by
default), the accounting for ever, where a site has one.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Collection, Iterator
from typing import Final

from adaptive_scheduler.scheduler.jobs import JobEnd
from adaptive_scheduler.scheduler.slurm.queue import ENDED, squeue

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
