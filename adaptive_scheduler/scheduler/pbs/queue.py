"""The jobs of PBS, as ``qstat -f`` shows them: how they are asked for, and how they have ended.

The ends are known at sites that keep a history (``job_history_enable``).
"""

from __future__ import annotations

import calendar
import os
import pwd
import re
import shutil
import signal
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler.command import Commands, Finished
from adaptive_scheduler.scheduler.jobs import JobEnd, Phase, QueuedJob, queued_job
from adaptive_scheduler.scheduler.pbs.commands import GONE, IDS_PER_CALL, read_mark

#: Attributes of one of them by name, as qstat spells them.
Attributes: TypeAlias = Mapping[str, str]

_ATTRIBUTE: Final = re.compile(r"(?:\A|\n) {4}(?P<name>[A-Za-z_][\w.-]*) = ")
#: Ids: ``12.server``, an array ``12[].server``, its member ``12[3].server``.
_ID = re.compile(r"(?P<job>\d+)(?P<brackets>\[(?P<index>\d*)\])?(?P<server>\.\S+)?")

#: Where a job stands that is in a state. Source: qstat(1B), "Job states", of PBS, and qstat(1B)
#: of Torque for C.
STATES: Final[Mapping[str, Phase]] = MappingProxyType(
    {
        # No job comes back from these: finished, a finished member of an array, completed.
        "F": "over",
        "X": "over",
        "C": "over",
        # Running, suspended, suspended by the user of the machine.
        "R": "running",
        "S": "running",
        "U": "running",
        # Exiting, however long a node takes for that.
        "E": "ending",
        # Queued, held, waiting for its time.
        "Q": "pending",
        "H": "pending",
        "W": "pending",
        # In transit, moved to another server (where it may run), array begun.
        "T": "unknown",
        "M": "unknown",
        "B": "unknown",
    }
)
#: States from which no job comes back.
ENDED: Final = frozenset(state for state, phase in STATES.items() if phase == "over")
#: What the server says of a job that it holds: it has tried to start it 21 times.
_STUCK: Final = "job held, too many failed attempts to run"
#: What members that wait are told of their array: no reason.
_BEGUN: Final = "Job Array Began"
#: What qstat says of ids that can't be looked for any more, such as those of another server.
_NOTHING_KNOWN = (*GONE, "illegally formed job identifier")

#: What is remembered of a job from one look to the next.
_REMEMBERED = ("Job_Name", "job_state", "Hold_Types", "Error_Path", "comment", "ctime")


# What qstat prints.


def parse_records(stdout: str, kind: Literal["Job Id", "Queue", "Server"]) -> dict[str, Attributes]:
    """Read what ``qstat -f`` prints, with or without ``-w``: attributes by id or name.

    Without ``-w``, long values go on in lines that begin with a tab.
    """
    # The first record begins with the first such line, others after an empty
    # line, too: values may hold line breaks, and these words.
    first = re.search(rf"^{kind}: ", stdout, re.MULTILINE)  # a site may print a greeting before it
    text = stdout[first.start() :] if first else ""
    _, *parts = re.split(rf"(?:\A|(?<=\n\n)){kind}: (\S+)\n", text.replace("\n\t", ""))
    return {name: _attributes(text) for name, text in zip(parts[::2], parts[1::2], strict=True)}


def _attributes(text: str) -> dict[str, str]:
    """Return the attributes of one record.

    The first of two with the same name counts. The other is a line of a value:
    of a shell function, say, in the environment that a site gives to all jobs.
    """
    _, *parts = _ATTRIBUTE.split(text)
    attributes: dict[str, str] = {}
    for name, value in zip(parts[::2], parts[1::2], strict=True):
        attributes.setdefault(name, value.rstrip("\n"))
    return attributes


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
    is_stuck = state == "H" and comment.startswith(_STUCK)
    return "stuck" if is_stuck else STATES.get(state, "unknown")


def _name_and_token(parts: JobId, attributes: Attributes) -> tuple[str, str]:
    found = read_mark(attributes.get("Error_Path", ""))
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
    if state not in STATES or STATES[state] not in ("pending", "unknown"):
        return comment
    if comment.startswith(_BEGUN):
        return "waits for its turn: its array has begun"
    return comment or "not looked at yet"


def _comment(attributes: Attributes, array: Attributes) -> str:
    return attributes.get("comment") or array.get("comment", "")


def ours(job_ids: Iterable[str]) -> list[str]:
    """Return those that can be ids, as the commands of PBS take them."""
    return [job_id for job_id in job_ids if parse_id(job_id) is not None]


# What is asked.


@dataclass
class PbsListing:
    """Asks PBS for jobs, and remembers what it has learned from the answers.

    Attributes
    ----------
    commands
        What asks.
    has_wide_lines
        Whether qstat knows ``-f -w``, as far as it has said.
    """

    commands: Commands
    has_wide_lines: bool = True
    _before: Mapping[str, Attributes] | None = None

    def of_all(self) -> dict[str, Attributes]:
        """Return what PBS says of the jobs of all users."""
        return self._described("-t")

    def of_mine(self, *, is_torque: bool) -> dict[str, Attributes]:
        """Return what PBS says of my jobs, each by its id, arrays and their members too.

        PBS leaves jobs out of its lists that it has moved to another server,
        and tells of them when it is asked by id. So those that were there
        before are asked for by their ids. If there is no answer, because the
        other server is down, they are believed to be as they were.

        Raises
        ------
        SchedulerUnavailableError
            If there was no answer that can be trusted.
        """
        user = pwd.getpwuid(os.getuid()).pw_name
        if not _can_select(user):
            return {i: job for i, job in self.of_all().items() if _owner(job) == user}
        # What qstat says of the jobs of all users may be a hundred megabytes.
        listed = ours(self.commands.ask(("qselect", "-u", user)).split())
        jobs = self._described_in_parts("-t", ids=listed)
        before = self._moved_of(user) if self._before is None else self._before
        there = set(map(_root, jobs))
        jobs |= self._elsewhere({i: job for i, job in before.items() if _root(i) not in there})
        if not is_torque:  # there, arrays may outlive their members
            _check_arrays(jobs)
        self._before = _to_remember(jobs)
        return jobs

    def _elsewhere(self, before: Mapping[str, Attributes]) -> Mapping[str, Attributes]:
        """Return what PBS says of jobs that are in its lists no longer."""
        if not before:
            return {}
        try:
            return self._described_in_parts("-t", ids=[*dict.fromkeys(map(_root, before))])
        except SchedulerUnavailableError:
            return before

    def _moved_of(self, user: str) -> Mapping[str, Attributes]:
        """Return jobs of ours that were moved to other servers, if there is a history of them."""
        command = ("qselect", "-x", "-s", "M", "-u", user)
        answer = self.commands.look(command)
        ids = ours(answer.stdout.split()) if answer.returncode == 0 else []
        jobs = self._described_in_parts("-x", "-t", ids=ids, harmless=_NOTHING_KNOWN)
        return {job_id: job for job_id, job in jobs.items() if _is_ours(job)}

    def of_these(self, job_ids: Iterable[str], *, is_torque: bool) -> dict[str, Attributes]:
        """Return what PBS says of jobs that may have ended; those it has forgotten are left out."""
        # Torque shows jobs for some minutes after their end; its -x is about XML.
        options = [] if is_torque else ["-x"]
        return self._described_in_parts(*options, ids=ours(job_ids), harmless=_NOTHING_KNOWN)

    def _described_in_parts(
        self, *options: str, ids: Sequence[str], harmless: Collection[str] = GONE
    ) -> dict[str, Attributes]:
        jobs: dict[str, Attributes] = {}
        for start in range(0, len(ids), IDS_PER_CALL):
            part = ids[start : start + IDS_PER_CALL]
            jobs |= self._described(*options, ids=part, harmless=harmless)
        return jobs

    def _described(
        self, *options: str, ids: Sequence[str] = (), harmless: Collection[str] = GONE
    ) -> dict[str, Attributes]:
        """Return all that PBS says of jobs; those that are gone are left out."""
        wide = ["-w"] if self.has_wide_lines else []
        command = ["qstat", *options, "-f", *wide, *ids]
        answer = self.commands.look(command)
        if wide and takes_no_wide_lines(answer):
            self.has_wide_lines = False  # Torque, and old versions of PBS Pro
            return self._described(*options, ids=ids, harmless=harmless)
        return parse_jobs(self.commands.checked(answer, harmless=harmless).stdout)


def takes_no_wide_lines(answer: Finished) -> bool:
    """Whether qstat says that it has no option ``-w``, or not together with ``-f``."""
    words = ("invalid option -- 'w'", "Unknown option: w", "conflicting options")
    return answer.returncode != 0 and any(phrase in answer.stderr for phrase in words)


def _can_select(user: str) -> bool:
    """Whether qselect can list the jobs of a user: to it, ``alice@site`` is alice at a host."""
    return "@" not in user and shutil.which("qselect") is not None


def _owner(job: Attributes) -> str:
    return job.get("Job_Owner", "").rpartition("@")[0]


def _is_ours(job: Attributes) -> bool:
    return read_mark(job.get("Error_Path", "")) is not None


def _root(job_id: str) -> str:
    """Return the id of the array that a job is in, or else its own."""
    parts = parse_id(job_id)
    return job_id if parts is None else parts.array or job_id


def _to_remember(jobs: Mapping[str, Attributes]) -> Mapping[str, Attributes]:
    """Return what must be known at the next look of jobs that have not ended."""
    return {
        job_id: {name: job[name] for name in _REMEMBERED if name in job}
        for job_id, job in jobs.items()
        if jobs.get(_root(job_id), job).get("job_state") not in ENDED
    }


def _check_arrays(jobs: Mapping[str, Attributes]) -> None:
    """Raise an error if one of our arrays has none of its members: they can't all be gone."""
    with_members = {_root(job_id) for job_id in jobs if _root(job_id) != job_id}
    for job_id, job in jobs.items():
        is_array = "[]" in job_id and job.get("job_state") not in ENDED
        if is_array and _is_ours(job) and job_id not in with_members:
            raise SchedulerUnavailableError(
                f"qstat shows the array {job_id}, but none of its jobs."
            )


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
