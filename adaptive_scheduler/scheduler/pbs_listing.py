"""Which jobs there are, asked for with qselect and qstat."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler import pbs_client, pbs_mark
from adaptive_scheduler.scheduler.command import run_command
from adaptive_scheduler.scheduler.pbs_client import (
    GONE,
    IDS_PER_CALL,
    ask,
    checked,
    takes_no_wide_lines,
)
from adaptive_scheduler.scheduler.pbs_queue import ENDED, Attributes, ours, parse_id, parse_jobs

#: What qstat says of ids that can't be looked for any more, such as those of another server.
_NOTHING_KNOWN = (*GONE, "illegally formed job identifier")


@dataclass
class PbsListing:
    """Asks PBS for jobs, and remembers what it has learned from the answers.

    Attributes
    ----------
    has_wide_lines
        Whether qstat knows ``-f -w``, as far as it has said.
    """

    has_wide_lines: bool = True
    _listed: frozenset[str] | None = None

    def of_all(self) -> dict[str, Attributes]:
        """Return what PBS says of the jobs of all users."""
        return self._described("-t")

    def of_mine(self, *, is_torque: bool) -> dict[str, Attributes]:
        """Return what PBS says of my jobs, each by its id, arrays and their members too.

        PBS leaves jobs out of its lists that it has moved to another server,
        and tells of them when it is asked by id. So those that were there
        before are asked for by their ids, wherever they are now.

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
        before = _moved(user) if self._listed is None else self._listed
        jobs = self._described_in_parts("-t", ids=[*dict.fromkeys([*listed, *before])])
        if not is_torque:  # there, arrays may outlive their members
            _check_arrays(jobs)
        self._listed = frozenset(_to_ask_for_again(jobs))
        return jobs

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
        answer = run_command(command, timeout=pbs_client.TIMEOUT)
        if wide and takes_no_wide_lines(answer):
            self.has_wide_lines = False  # Torque, and old versions of PBS Pro
            return self._described(*options, ids=ids, harmless=harmless)
        return parse_jobs(checked(answer, harmless=harmless).stdout)


def _can_select(user: str) -> bool:
    """Whether qselect can list the jobs of a user: to it, ``alice@site`` is alice at a host."""
    return "@" not in user and shutil.which("qselect") is not None


def _owner(job: Attributes) -> str:
    return job.get("Job_Owner", "").rpartition("@")[0]


def _moved(user: str) -> Sequence[str]:
    """Return my jobs that the server has moved to others, if it keeps a history of them."""
    answer = run_command(("qselect", "-x", "-s", "M", "-u", user), timeout=pbs_client.TIMEOUT)
    return ours(answer.stdout.split()) if answer.returncode == 0 else []


def _to_ask_for_again(jobs: Mapping[str, Attributes]) -> list[str]:
    """Return the jobs and the arrays that have not ended."""
    roots = [i for i in jobs if (parts := parse_id(i)) is not None and parts.number is None]
    return [job_id for job_id in roots if jobs[job_id].get("job_state") not in ENDED]


def _check_arrays(jobs: Mapping[str, Attributes]) -> None:
    """Raise an error if one of our arrays has none of its members: they can't all be gone."""
    with_members = {parts.array for parts in map(parse_id, jobs) if parts is not None}
    for job_id in _to_ask_for_again(jobs):
        is_ours = pbs_mark.read(jobs[job_id].get("Error_Path", "")) is not None
        if is_ours and "[" in job_id and job_id not in with_members:
            raise SchedulerUnavailableError(
                f"qstat shows the array {job_id}, but none of its jobs."
            )
