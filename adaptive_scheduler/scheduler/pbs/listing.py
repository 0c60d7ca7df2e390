"""Which jobs there are, asked for with qselect and qstat."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler.command import run_command
from adaptive_scheduler.scheduler.pbs import client, mark
from adaptive_scheduler.scheduler.pbs.client import (
    GONE,
    IDS_PER_CALL,
    ask,
    checked,
    takes_no_wide_lines,
)
from adaptive_scheduler.scheduler.pbs.queue import ENDED, ours, parse_id, parse_jobs
from adaptive_scheduler.scheduler.pbs.records import Attributes

#: What qstat says of ids that can't be looked for any more, such as those of another server.
_NOTHING_KNOWN = (*GONE, "illegally formed job identifier")

#: What is remembered of a job from one look to the next.
_REMEMBERED = ("Job_Name", "job_state", "Hold_Types", "Error_Path", "comment", "ctime")


@dataclass
class PbsListing:
    """Asks PBS for jobs, and remembers what it has learned from the answers.

    Attributes
    ----------
    has_wide_lines
        Whether qstat knows ``-f -w``, as far as it has said.
    """

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
        listed = ours(ask(("qselect", "-u", user)).stdout.split())
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
        answer = run_command(command, timeout=client.TIMEOUT)
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
        # Times of day are read as UTC: at the end of summer, local time has an hour twice.
        environment = {**os.environ, "TZ": "UTC0"}
        answer = run_command(command, timeout=client.TIMEOUT, environment=environment)
        if wide and takes_no_wide_lines(answer):
            self.has_wide_lines = False  # Torque, and old versions of PBS Pro
            return self._described(*options, ids=ids, harmless=harmless)
        return parse_jobs(checked(answer, harmless=harmless).stdout)


def _can_select(user: str) -> bool:
    """Whether qselect can list the jobs of a user: to it, ``alice@site`` is alice at a host."""
    return "@" not in user and shutil.which("qselect") is not None


def _owner(job: Attributes) -> str:
    return job.get("Job_Owner", "").rpartition("@")[0]


def _is_ours(job: Attributes) -> bool:
    return mark.read(job.get("Error_Path", "")) is not None


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
