"""What the daemon of `Local` knows: batches, jobs, ends.

Nothing changes but by a record, and the same records, read again from the
journal, lead to the same state.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field, fields
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias

from adaptive_scheduler.scheduler.local.processes import Process

#: What is written down when something happens; the key "event" says what.
Record: TypeAlias = dict[str, Any]

#: How many ended jobs are remembered.
REMEMBERED_ENDS = 20_000
#: How many submissions are remembered, so that one which is sent again is not done again.
_REMEMBERED_SUBMISSIONS = 1_000


class JobKey(NamedTuple):
    """Which job: its batch, and its number in the batch."""

    batch: int
    number: int

    def __str__(self) -> str:
        return f"{self.batch}_{self.number}"

    @classmethod
    def parse(cls, job_id: str) -> JobKey | None:
        """Return the job that has the id `job_id`; None if no job can have it."""
        batch, _, number = job_id.partition("_")
        if not (batch.isdecimal() and number.isdecimal()):
            return None
        key = cls(int(batch), int(number))
        return key if str(key) == job_id else None


@dataclass(frozen=True, kw_only=True)
class LocalBatch:
    """Jobs that were submitted together, as the daemon needs to know them.

    Attributes
    ----------
    max_cores
        The job starts only if no more cores than these are in use then.
    time
        Seconds that a job may run; None for as long as it likes.
    kill_wait
        Seconds between SIGTERM and SIGKILL.
    submission
        A word that is new for each submission, but the same when it is sent again.
    submitted
        When the daemon took the jobs, in seconds since the epoch.
    """

    job_name: str
    script: str
    token: str
    cores: int
    max_cores: int
    time: float | None
    kill_wait: float
    workdir: str
    log_folder: str
    environment: dict[str, str]
    umask: int
    affinity: list[int]
    submission: str
    submitted: float

    @classmethod
    def read(cls, record: dict[str, Any]) -> LocalBatch:
        """Take the fields out of `record`; raise KeyError if one is missing."""
        return cls(**{field.name: record[field.name] for field in fields(cls)})


@dataclass
class LiveBatch:
    """A batch that has jobs left."""

    batch: LocalBatch
    #: Numbers of the jobs that have not been started, in their order.
    pending: dict[int, None]
    n_running: int = 0


@dataclass(kw_only=True)
class RunningJob:
    """A job that has a keeper."""

    keeper: Process
    mark: str
    #: Whether it has been told to end.
    ending: bool = field(default=False, compare=False)


@dataclass
class LocalState:
    """All batches and jobs of one spool."""

    #: Which start of the machine the running jobs have seen.
    boot: str = ""
    next_batch: int = field(default_factory=lambda: int(time.time()))
    batches: dict[int, LiveBatch] = field(default_factory=dict)
    running: dict[JobKey, RunningJob] = field(default_factory=dict)
    #: How jobs have ended, the last ones last.
    ends: OrderedDict[str, Record] = field(default_factory=OrderedDict)
    submissions: OrderedDict[str, int] = field(default_factory=OrderedDict)
    cores_in_use: int = 0

    def apply(self, record: Record) -> None:
        """Change what has to change because of `record`."""
        match record["event"]:
            case "submitted":
                self._submitted(record)
            case "started":
                self._started(record)
            case "ended":
                self._ended(record)
            case "booted":
                self.boot = record["boot"]
            case "counted":
                self.next_batch = record["next_batch"]

    def snapshot(self) -> Iterator[Record]:
        """Yield records that lead to this state."""
        yield booted(self.boot)
        for number, live in self.batches.items():
            started = [key for key in self.running if key.batch == number]
            numbers = [*(key.number for key in started), *live.pending]
            yield submitted(number, numbers, live.batch)
            yield from (started_as(key, self.running[key]) for key in started)
        for end, job_ids in groupby(self.ends, key=self.ends.__getitem__):
            yield ended(list(job_ids), **end)
        yield {"event": "counted", "next_batch": self.next_batch}

    def next_to_start(self) -> JobKey | None:
        """Return the job whose turn it is, if there are cores for it.

        The first waits until there are enough for it, and the others behind
        it; so a large job is not passed by small ones for ever.
        """
        for number, live in self.batches.items():
            if live.pending:
                cores = self.cores_in_use + live.batch.cores
                fits = cores <= live.batch.max_cores
                return JobKey(number, next(iter(live.pending))) if fits else None
        return None

    def is_pending(self, key: JobKey) -> bool:
        """Return whether a job waits to be started."""
        return key.batch in self.batches and key.number in self.batches[key.batch].pending

    def _submitted(self, record: Record) -> None:
        number = record["batch"]
        batch = LocalBatch.read(record)
        self.batches[number] = LiveBatch(batch, dict.fromkeys(record["numbers"]))
        self.next_batch = max(self.next_batch, number + 1)
        self.submissions[batch.submission] = number
        _forget_beyond(self.submissions, _REMEMBERED_SUBMISSIONS)

    def _started(self, record: Record) -> None:
        key = JobKey(*record["job"])
        live = self.batches[key.batch]
        if key not in self.running:
            del live.pending[key.number]
            live.n_running += 1
            self.cores_in_use += live.batch.cores
        self.running[key] = RunningJob(keeper=Process(*record["keeper"]), mark=record["mark"])

    def _ended(self, record: Record) -> None:
        end = {key: record[key] for key in ("state", "exit_code", "reason")}
        for job_id in record["jobs"]:
            key = JobKey.parse(job_id)
            live = self.batches.get(key.batch) if key else None
            if key and live:
                if self.running.pop(key, None):
                    live.n_running -= 1
                    self.cores_in_use -= live.batch.cores
                live.pending.pop(key.number, None)
                if not live.pending and not live.n_running:
                    del self.batches[key.batch]
            self.ends[job_id] = end
        _forget_beyond(self.ends, REMEMBERED_ENDS)


def booted(boot: str) -> Record:
    """Record that the jobs started from now on run since the machine's start `boot`."""
    return {"event": "booted", "boot": boot}


def submitted(number: int, numbers: Collection[int], batch: LocalBatch) -> Record:
    """Record that a batch has come, with the jobs `numbers`."""
    return {"event": "submitted", "batch": number, "numbers": list(numbers)} | asdict(batch)


def started_as(key: JobKey, job: RunningJob) -> Record:
    """Record that a job has a keeper."""
    return {"event": "started", "job": key, "keeper": job.keeper, "mark": job.mark}


def ended(
    job_ids: Collection[str], state: str, exit_code: int | None = None, reason: str = ""
) -> Record:
    """Record that jobs are over."""
    return {
        "event": "ended",
        "jobs": list(job_ids),
        "state": state,
        "exit_code": exit_code,
        "reason": reason,
    }


def _forget_beyond(mapping: OrderedDict[str, Any], length: int) -> None:
    while len(mapping) > length:
        mapping.popitem(last=False)
