"""The jobs of PBS, as ``qstat -f`` shows them, and how they are asked for."""

from __future__ import annotations

import calendar
import os
import pwd
import re
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler.command import Commands, Finished
from adaptive_scheduler.scheduler.jobs import Phase, QueuedJob, queued_job
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
