"""The jobs of PBS, as ``qstat -f`` shows them."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate
from typing import Final, NamedTuple

from adaptive_scheduler.scheduler.jobs import Phase, QueuedJob, queued_job
from adaptive_scheduler.scheduler.pbs import mark
from adaptive_scheduler.scheduler.pbs.records import Attributes, parse_records

#: Ids: ``12.server``, an array ``12[].server``, its member ``12[3].server``.
_ID = re.compile(r"(?P<job>\d+)(?P<brackets>\[(?P<index>\d*)\])?(?P<server>\.\S+)?")

# All states are in one of these tables, but those that nobody has heard of.
# Source: qstat(1B), "Job states", of PBS, and qstat(1B) of Torque for C.

#: States from which no job comes back: finished, a finished member of an array, completed.
ENDED: Final = frozenset({"F", "X", "C"})
#: Running, suspended, suspended by the user of the machine.
_RUNNING: Final = frozenset({"R", "S", "U"})
#: Exiting, however long a node takes for that.
_ENDING: Final = "E"
#: Queued, held, waiting for its time.
_PENDING: Final = frozenset({"Q", "H", "W"})
#: In transit, moved to another server (where it may run), array begun.
_ELSEWHERE: Final = frozenset({"T", "M", "B"})
#: What the server says of a job that it holds: it has tried to start it 21 times.
_STUCK: Final = "job held, too many failed attempts to run"
#: What members that wait are told of their array: no reason.
_BEGUN: Final = "Job Array Began"


class JobId(NamedTuple):
    """The parts of an id.

    Attributes
    ----------
    array
        The id of the array that the job is a member of; empty if it is none.
    number
        Which member; None if it is none.
    is_array
        Whether it is an array itself.
    """

    array: str
    number: int | None
    is_array: bool


def parse_id(job_id: str) -> JobId | None:
    """Return the parts of an id; None if it can't be one."""
    match = _ID.fullmatch(job_id)
    if match is None:
        return None
    if not match["index"]:
        return JobId("", None, match["brackets"] is not None)
    array = f"{match['job']}[]{match['server'] or ''}"
    return JobId(array, int(match["index"]), is_array=False)


def parse_jobs(stdout: str) -> dict[str, Attributes]:
    """Read what ``qstat -f`` prints about jobs: attributes by id."""
    return parse_records(stdout, "Job Id")


def queue_of(jobs: Mapping[str, Attributes]) -> dict[str, QueuedJob]:
    """Return the queue: each job by its id, and the members of an array instead of the array."""
    queue = {}
    for job_id, attributes in jobs.items():
        parts = parse_id(job_id)
        if parts is not None and not parts.is_array:
            # Members that have not begun are shown as copies of their array.
            queue[job_id] = _queued(parts, attributes, jobs.get(parts.array, {}))
    return queue


def _queued(parts: JobId, attributes: Attributes, array: Attributes) -> QueuedJob:
    state = attributes.get("job_state", "")
    if state == "Q" and array.get("job_state") in {"H", "W"}:
        state = array["job_state"]  # its members can't run either
    job_name, token = _name_and_token(parts, attributes)
    return queued_job(
        job_name=job_name,
        state=state,
        phase=_phase(state, _comment(attributes, array)),
        reason=_reason(state, attributes, array),
        token=token,
        submitted=_time(attributes.get("ctime", "")),
    )


def _time(text: str) -> float | None:
    """Return the seconds since the epoch of ``Sun Nov 22 08:28:12 2026``, where qstat writes UTC.

    In a Python that speaks another language, strptime would not know the months.
    """
    parsed = parsedate(text)
    return None if parsed is None else float(calendar.timegm(parsed))


def _phase(state: str, comment: str) -> Phase:
    if state in _PENDING:
        return "stuck" if state == "H" and comment.startswith(_STUCK) else "pending"
    if state in _RUNNING:
        return "running"
    if state == _ENDING:
        return "ending"
    return "over" if state in ENDED else "unknown"


def _name_and_token(parts: JobId, attributes: Attributes) -> tuple[str, str]:
    found = mark.read(attributes.get("Error_Path", ""))
    if found is None:
        return attributes.get("Job_Name", ""), ""
    number = found.number if parts.number is None else parts.number
    return f"{found.job_name}-{number}", found.token


def _reason(state: str, attributes: Attributes, array: Attributes) -> str:
    # Only the server knows why it holds a job; users hold theirs themselves.
    comment = _comment(attributes, array)
    if state == "H":
        kinds = attributes.get("Hold_Types") or array.get("Hold_Types", "")
        words = {"u": "held by the user", "o": "held by an operator", "s": "held by the system"}
        return comment or words.get(kinds, "held")
    if state == "W":
        begins = attributes.get("Execution_Time")
        return comment or (
            "waits until its time" if begins is None else f"waits until {begins} UTC"
        )
    if state not in _PENDING | _ELSEWHERE:
        return comment
    if comment.startswith(_BEGUN):
        return "waits for its turn: its array has begun"
    return comment or "not looked at yet"


def _comment(attributes: Attributes, array: Attributes) -> str:
    return attributes.get("comment") or array.get("comment", "")


def ours(job_ids: Iterable[str]) -> list[str]:
    """Return those that can be ids, as the commands of PBS take them."""
    return [job_id for job_id in job_ids if parse_id(job_id) is not None]
