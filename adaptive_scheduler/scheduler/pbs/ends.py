"""How jobs have ended, for sites that keep a history (``job_history_enable``)."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from typing import Final

from adaptive_scheduler.scheduler.jobs import JobEnd
from adaptive_scheduler.scheduler.pbs.queue import ENDED, Attributes, parse_id

#: Of the exit statuses below zero, PBS and Torque have those to this one in common.
_LAST_IN_COMMON: Final = -7
#: What an exit status below zero means: the state as other schedulers call
#: it, and why. Source: the JOB_EXEC codes of OpenPBS's job.h.
_BY_PBS: Final = {
    -1: ("FAILED", "it could not be started"),
    -2: ("FAILED", "it could not be started"),
    -3: ("FAILED", "it could not be started, and is tried again"),
    -4: ("NODE_FAIL", "its node began anew"),
    -5: ("NODE_FAIL", "its node began anew"),
    -6: ("NODE_FAIL", "its node began anew, and it was put back into the queue"),
    -7: ("FAILED", "it could not go on from its checkpoint"),
    -10: ("FAILED", "its node does not know the user or the group"),
    -11: ("REQUEUED", "it was put back into the queue"),
    -12: ("REQUEUED", "it was checkpointed, and ended"),
    -13: ("FAILED", "the password of the user was wrong"),
    -14: ("NODE_FAIL", "one of its nodes did not answer when it began"),
    -15: ("REQUEUED", "it was put back into the queue"),
    -16: ("FAILED", "a hook of the site did not let it begin; it is tried again"),
    -17: ("FAILED", "a hook of the site did not let it begin"),
    -18: ("REQUEUED", "a hook of the site put it back into the queue"),
    -19: ("CANCELLED", "a hook of the site deleted it"),
    -20: ("NODE_FAIL", "the connection to its first node was lost"),
    -21: ("FAILED", "a folder of PBS on its node is not safe"),
    -22: ("FAILED", "a hook of the site failed or took too long"),
    -23: ("FAILED", "it has no Kerberos ticket"),
    -24: ("FAILED", "it used too many CPUs"),
    -25: ("FAILED", "it used too many CPUs"),
    -26: ("OUT_OF_MEMORY", "it used too much virtual memory"),
    -27: ("OUT_OF_MEMORY", "it used too much memory"),
    -28: ("TIMEOUT", "it used too much CPU time"),
    -29: ("TIMEOUT", "it reached its walltime"),
    -30: ("FAILED", "its output and its errors could not be joined"),
    -31: ("OUT_OF_MEMORY", "it used too many huge pages of memory"),
    -32: ("REQUEUED", "nothing was left of it on its node; it was put back into the queue"),
}
#: The same of Torque, whose jobs are then in the state C; to -7 it is as in PBS.
#: Source: its Administrator Guide, "Job exit status".
_BY_TORQUE: Final = {
    **{status: end for status, end in _BY_PBS.items() if status >= _LAST_IN_COMMON},
    -8: ("FAILED", "its command could not be run"),
    -9: ("FAILED", "its output could not be opened"),
    -10: ("OUT_OF_MEMORY", "it used too much memory"),
    -11: ("TIMEOUT", "it reached its walltime"),
    -12: ("TIMEOUT", "it used too much CPU time"),
}
#: States of jobs that were in nobody's way but the site's, or another job's. Jobs
#: that could not be started are not among them: what they lack may be their own.
_NO_FAULT: Final = frozenset({"NODE_FAIL", "PREEMPTED", "REQUEUED"})
#: An attribute that the scheduler gives to jobs that make room for others.
_PREEMPTED: Final = "sched_preempted"
#: Attributes that only members of an array have, in PBS and in Torque.
_OF_A_MEMBER: Final = frozenset({"array_index", "job_array_id"})
#: Signals are added to these: by PBS to the first, by a job's shell to the second.
_SIGNAL_BASES: Final = (256, 128)
#: The substate of a job that was deleted.
_DELETED: Final = "91"


def end_of(job_id: str, job: Attributes) -> JobEnd | None:
    """Return how a job has ended; None if it has not, or nothing is known.

    The state comes first: a job that was put back into the queue still has
    the exit status of its last start.
    """
    parts = parse_id(job_id)
    if job.get("job_state") not in ENDED or parts is None:
        return None
    if parts.number is not None and not _OF_A_MEMBER & job.keys():
        return None  # a copy of its array, with the exit status of some other member
    status = job.get("Exit_status") or job.get("exit_status", "")  # as Torque spells it
    comment = job.get("comment", "")
    if job.get("substate") == _DELETED or "terminated by" in comment:
        name = _signal_name(int(status)) if status.isdecimal() else ""
        reason = ", ".join(filter(None, (comment, name and f"ended by {name}")))
        if _PREEMPTED in job:
            return JobEnd(state="PREEMPTED", reason=reason, is_no_fault=True)
        return JobEnd(state="CANCELLED", reason=reason)
    if re.fullmatch(r"-?\d+", status) is None:
        return None
    return _end_by(int(status), _BY_TORQUE if job["job_state"] == "C" else _BY_PBS)


def _end_by(status: int, by_server: Mapping[int, tuple[str, str]]) -> JobEnd:
    if status < 0:
        state, reason = by_server.get(status, ("FAILED", f"PBS ended it: exit status {status}"))
        return JobEnd(state=state, reason=reason, is_no_fault=state in _NO_FAULT)
    if name := _signal_name(status):
        return JobEnd(state="FAILED", reason=f"ended by {name}, exit status {status}")
    return JobEnd(state="COMPLETED" if status == 0 else "FAILED", exit_code=status)


def _signal_name(status: int) -> str:
    base = next((base for base in _SIGNAL_BASES if status > base), None)
    try:
        return "" if base is None else signal.Signals(status - base).name
    except ValueError:
        return ""
