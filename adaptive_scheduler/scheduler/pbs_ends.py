"""How jobs have ended, for sites that keep a history (``job_history_enable``)."""

from __future__ import annotations

import re
import signal
from typing import Final

from adaptive_scheduler.scheduler.jobs import JobEnd
from adaptive_scheduler.scheduler.pbs_queue import ENDED, Attributes, parse_id

#: What an exit status below zero means: the state as other schedulers call
#: it, and why. Source: the JOB_EXEC codes of OpenPBS's job.h.
_BY_PBS: Final = {
    -1: ("FAILED", "it could not be started"),
    -2: ("FAILED", "it could not be started"),
    -3: ("FAILED", "it could not be started, and is tried again"),
    -4: ("FAILED", "its node began anew"),
    -5: ("FAILED", "its node began anew"),
    -6: ("FAILED", "its node began anew, and it was put back into the queue"),
    -11: ("REQUEUED", "it was put back into the queue"),
    -24: ("FAILED", "it used too many CPUs"),
    -25: ("FAILED", "it used too many CPUs"),
    -26: ("OUT_OF_MEMORY", "it used too much virtual memory"),
    -27: ("OUT_OF_MEMORY", "it used too much memory"),
    -28: ("TIMEOUT", "it used too much CPU time"),
    -29: ("TIMEOUT", "it reached its walltime"),
}
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
    if parts.number is not None and "array_index" not in job:
        return None  # a copy of its array, with the exit status of some other member
    status, comment = job.get("Exit_status", ""), job.get("comment", "")
    if job.get("substate") == _DELETED or "terminated by" in comment:
        name = _signal_name(int(status)) if status.isdecimal() else ""
        words = (comment, name and f"ended by {name}")
        return JobEnd(state="CANCELLED", reason=", ".join(filter(None, words)))
    return _end_by(int(status)) if re.fullmatch(r"-?\d+", status) else None


def _end_by(status: int) -> JobEnd:
    if status < 0:
        state, reason = _BY_PBS.get(status, ("FAILED", f"PBS ended it: exit status {status}"))
        return JobEnd(state=state, reason=reason)
    if name := _signal_name(status):
        return JobEnd(state="FAILED", reason=f"ended by {name}, exit status {status}")
    return JobEnd(state="COMPLETED" if status == 0 else "FAILED", exit_code=status)


def _signal_name(status: int) -> str:
    base = next((base for base in _SIGNAL_BASES if status > base), None)
    try:
        return "" if base is None else signal.Signals(status - base).name
    except ValueError:
        return ""
