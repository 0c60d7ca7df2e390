"""A scheduler for one machine, without any to install."""

from __future__ import annotations

import datetime as dt
import os
import re
import uuid
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final

from adaptive_scheduler._common.checks import check_count
from adaptive_scheduler.errors import (
    InvalidInputError,
    SubmissionRejectedError,
)
from adaptive_scheduler.scheduler.base import BaseScheduler, Batch, JobEnd, QueuedJob, own_umask
from adaptive_scheduler.scheduler.jobs import Phase, queued_job
from adaptive_scheduler.scheduler.local.client import ask, ask_if_used
from adaptive_scheduler.scheduler.local.spool import SPOOL_VARIABLE, Message, Spool, open_spool
from adaptive_scheduler.scheduler.resources import PerLearner, Resources, seconds_of
from adaptive_scheduler.scheduler.script import JobVariables

#: Seconds between SIGTERM and SIGKILL when a job has to end.
KILL_WAIT = 30.0
#: Of jobs, where the system does not tell that of the process that submits them.
_DEFAULT_UMASK = 0o022
#: Bytes of a job's name; with number, id and ending a file's name has 255 at most.
_MAX_NAME = 200
_PHASES: Final[dict[str, Phase]] = {
    "PENDING": "pending",
    "RUNNING": "running",
    "COMPLETING": "ending",
}


class Local(BaseScheduler):
    """Runs jobs on this machine, as many at a time as it has cores for.

    What does not fit waits; jobs start in the order in which they came. They
    go on when the process that submitted them ends, and any other process of
    the same user sees them and can cancel them. All `Local` schedulers of a
    user on a machine share its cores and its queue.

    Parameters
    ----------
    cores*
        Cores for each job.
    time*
        Wall time for each job: ``"HH:MM:SS"``, seconds or a timedelta. At its
        end all processes of the job get SIGTERM, and SIGKILL after `kill_wait`.
    max_cores
        How many cores jobs may use at the same time, by default as many as
        this process may use. With more than there are, jobs share cores.
    kill_wait
        Seconds between SIGTERM and SIGKILL when a job has to end.
    **keywords
        As for `BaseScheduler`. `extra_scheduler` can't be used: there is
        nothing that could read it.

    Raises
    ------
    InvalidInputError
        If a value can't be.

    Notes
    -----
    What is known about jobs lies in ``/var/tmp/adaptive-scheduler-<user id>``, or
    where the environment variable ``ADAPTIVE_SCHEDULER_LOCAL_DIR`` says; machines
    can't share such a folder. Where the system ends all processes of users who
    log out, it ends these jobs, too.
    """

    kind: ClassVar[str] = "local"
    location: ClassVar[Mapping[str, str]] = MappingProxyType({"folder": SPOOL_VARIABLE})
    ext: ClassVar[str] = ".sh"
    submit_cmd: ClassVar[str] = "bash"
    is_local: ClassVar[bool] = True
    min_poll_interval: ClassVar[float] = 0.2
    command_timeout: ClassVar[float | None] = 10.0
    variables: ClassVar[JobVariables] = JobVariables(
        job_id="$ADAPTIVE_SCHEDULER_LOCAL_JOB_ID",
        number="$ADAPTIVE_SCHEDULER_LOCAL_NUMBER",
        restarts="0",
    )

    def __init__(
        self,
        cores: PerLearner[int] = 1,
        *,
        time: PerLearner[str | float | dt.timedelta | None] = None,
        max_cores: int | None = None,
        kill_wait: float = KILL_WAIT,
        **keywords: Any,
    ) -> None:
        if max_cores is not None:
            check_count("max_cores", max_cores)
        seconds: object = kill_wait
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not (is_number and kill_wait >= 0):
            raise InvalidInputError(f"`kill_wait` is a number of seconds, not {kill_wait!r}.")
        self.max_cores = max_cores
        self.kill_wait = kill_wait
        super().__init__(cores, time=time, **keywords)

    def check(self, resources: Resources) -> None:
        """Raise `InvalidInputError` if no job can ever get `resources` here."""
        super().check(resources)
        most = self._most_cores()
        if resources.cores > most:
            raise InvalidInputError(
                f"A job that asks for {resources.cores} cores can't run where {most} may be used. "
                f"Ask for fewer, or let jobs share cores with "
                f"Local(..., max_cores={resources.cores})."
            )

    def describe_site(self) -> list[str]:
        """Return how many cores there are, in a line for people."""
        return [f"{usable_cores()} cores of this machine may be used"]

    def script_head(self, resources: Resources) -> list[str]:
        """Return comments that say what `resources` are; the daemon gets them in another way."""
        time = "" if resources.time is None else f", time: {resources.time}"
        return [f"# cores: {resources.cores}{time}"]

    def submit(self, batch: Batch) -> dict[int, str]:
        """Submit jobs and return the id of each, by number.

        They are on disk when this returns: neither the end of this process
        nor that of the daemon loses them.

        Raises
        ------
        SubmissionRejectedError
            If the machine can never run them; none of them was submitted.
        SchedulerUnavailableError
            If it is not known whether they were.
        """
        self.check_batch(batch)
        _check_name(batch.job_name)
        time, umask = batch.resources.time, own_umask()
        question = {
            "do": "submit",
            "idempotency_key": uuid.uuid4().hex,
            "numbers": batch.numbers,
            "batch": {
                "cores": batch.resources.cores,
                "max_cores": self._most_cores(),
                "kill_wait": self.kill_wait,
                "shown": {"job_name": batch.job_name, "token": batch.token},
                "launch": {
                    "script": batch.script,
                    "time": None if time is None else seconds_of(time),
                    "workdir": _as_utf8(batch.workdir.absolute()),
                    "log_folder": _as_utf8(batch.log_folder.absolute()),
                    "environment": {_as_utf8(k): _as_utf8(v) for k, v in os.environ.items()},
                    "umask": _DEFAULT_UMASK if umask is None else umask,
                    "affinity": sorted(os.sched_getaffinity(0)),
                },
            },
        }
        answer = ask(self._spool(), question, timeout=self.commands.timeout)
        return {number: f"{answer['batch']}_{number}" for number in batch.numbers}

    def queue(self, *, me_only: bool = True) -> dict[str, QueuedJob]:  # noqa: ARG002  all are mine
        """Return the jobs that wait, run or are about to end, by id.

        Each user of a machine has a queue of their own, so that `me_only`
        makes no difference.

        Raises
        ------
        SchedulerUnavailableError
            If there was no answer.
        """
        return {
            f"{batch}_{number}": queued_job(
                job_name=f"{shown['job_name']}-{number}",
                state=state,
                phase=_PHASES.get(state, "unknown"),
                reason=reason,
                token=shown["token"],
                submitted=shown["submitted"],
            )
            for batch, shown, state, reason, numbers in self._ask("queue").get("groups", ())
            for number in numbers
        }

    def cancel_ids(self, job_ids: Collection[str]) -> None:
        """End these jobs; ids that are not known are no error.

        Raises
        ------
        SchedulerUnavailableError
            If it is not known whether they will end.
        """
        self._ask("cancel", job_ids=list(job_ids))

    def ends(self, job_ids: Collection[str]) -> dict[str, JobEnd]:
        """Return how jobs have ended; those that have not, or too long ago, are left out."""
        ends = self._ask("ends", job_ids=list(job_ids)).get("ends", {})
        return {
            job_id: JobEnd(**end, is_no_fault=end["state"] == "NODE_FAIL")
            for job_id, end in ends.items()
        }

    def _ask(self, do: str, **question: Any) -> Message:
        return ask_if_used(self._spool(), {"do": do, **question}, timeout=self.commands.timeout)

    def _spool(self) -> Spool:
        return open_spool(self.commands.environment())

    def _most_cores(self) -> int:
        return usable_cores() if self.max_cores is None else self.max_cores


class LocalMockScheduler(Local):
    """The name that `Local` had in release 2.

    Parameters
    ----------
    mock_scheduler_kwargs
        Has no effect: there is no mock scheduler any more.
    """

    kind: ClassVar[str] = "local"

    def __init__(
        self,
        cores: PerLearner[int] = 1,
        *,
        mock_scheduler_kwargs: dict[str, Any] | None = None,
        **keywords: Any,
    ) -> None:
        if mock_scheduler_kwargs is not None:
            warnings.warn(
                "`mock_scheduler_kwargs` has no effect: Local runs real jobs on this machine. "
                "Leave it out; `max_cores` says how many cores jobs may use.",
                DeprecationWarning,
                stacklevel=2,
            )
        super().__init__(cores, **keywords)


def _as_utf8(path: str | Path) -> str:
    """Return a text that is the same bytes for the daemon, whose encoding is UTF-8."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def _check_name(name: str) -> None:
    if re.search(r"[/\0]", name) or len(os.fsencode(name)) > _MAX_NAME:
        raise SubmissionRejectedError(
            f"Local refused the jobs of {name!r}: their output is named after them, and a "
            f"file's name can't hold '/' nor be much longer than {_MAX_NAME} bytes. Choose "
            "another `job_name`."
        )


_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")


def usable_cores(*, cgroups: Path = _CGROUPS, own_cgroups: Path = _OWN_CGROUPS) -> int:
    """Return the number of cores that this process may use, at least 1.

    The machine may have more: the process may be bound to some of them
    (affinity), or a container may allow only a share of their time (cgroup).
    A share that is not a whole number is rounded down.
    """
    bound_to = len(os.sched_getaffinity(0))
    shares = [int(share) for share in _shares(cgroups, own_cgroups)]
    return max(1, min([bound_to, *shares]))


def _shares(cgroups: Path, own_cgroups: Path) -> Iterator[float]:
    """Yield each limit, in cores, of the control groups around this process."""
    for line in _read(own_cgroups).splitlines():
        _, controllers, inner = line.split(":", 2)
        if not controllers:
            for folder in _from_inner_to_outer(cgroups, inner):
                yield from _share(*_read(folder / "cpu.max").split())
        elif "cpu" in controllers.split(","):
            for folder in _from_inner_to_outer(cgroups / controllers, inner):
                quota = _read(folder / "cpu.cfs_quota_us")
                yield from _share(quota.strip(), _read(folder / "cpu.cfs_period_us").strip())


def _from_inner_to_outer(mount: Path, inner: str) -> list[Path]:
    # In a container the path may be that of the host: then only the mount is there.
    folder = mount / inner.lstrip("/")
    return [path for path in (folder, *folder.parents) if path.is_relative_to(mount)]


def _share(quota: str = "", period: str = "") -> Iterator[float]:
    if quota.isdigit() and period.isdigit() and int(period) > 0:
        yield int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
