"""What may happen to a run: the records of which each line of its journal is one."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from adaptive_scheduler.errors import RunFolderError
from adaptive_scheduler.protocol.messages import JobIdentity

#: Counts the changes of the records that an earlier version can't read, or would read wrong.
FORMAT = 2


class Record(
    # Nothing in a record refers to another one: no cycle is to be looked for.
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="event",
    gc=False,
):
    """Something that happened to a run. `time` is in seconds since the epoch."""

    time: float


class OfLearner(Record, frozen=True):
    """Something that happened to a learner, known by its index."""

    learner: int


class Answered(Record, frozen=True):
    """A job that asked for a learner has its answer."""

    job: JobIdentity
    job_name: str
    job_number: int


class RunBegan(Record, frozen=True, tag="run-began"):
    """The first record of every journal: which run it is of, and how to read it.

    `time` is that of this file: when the run began, or when it was last compacted.
    """

    #: `FORMAT` of the version that has written the file.
    format: int
    #: 16 hexadecimal digits, made once.
    run_id: str
    #: Version of the package that has written the file.
    version: str
    n_learners: int
    #: Digest of all fnames: the same run has the same.
    fnames_digest: str


class ManagerStarted(Record, frozen=True, tag="manager-started"):
    """A manager has taken over."""

    host: str
    pid: int
    version: str


class Submitting(Record, frozen=True, tag="submitting"):
    """Jobs are about to be submitted under a token."""

    token: str
    job_name: str
    numbers: list[int]


class Submitted(Record, frozen=True, tag="submitted"):
    """The scheduler has taken the jobs of a token, and gave them ids (by number)."""

    token: str
    job_ids: dict[int, str]


class NotSubmitted(Record, frozen=True, tag="not-submitted"):
    """The jobs of a token do not exist."""

    token: str
    reason: str


class Assigned(Answered, frozen=True, tag="assigned"):
    """A job holds a learner: attempt `number` begins."""

    learner: int
    number: int
    log_fname: str = ""
    host: str = ""


class Done(OfLearner, frozen=True, tag="done"):
    """The goal of a learner is reached."""

    npoints: int | None = None


class Failed(OfLearner, frozen=True, tag="failed"):
    """An attempt has failed."""

    error: str
    traceback: str = ""


class Released(OfLearner, frozen=True, tag="released"):
    """A job gave its learner back."""

    reason: str


class NothingLeft(Answered, frozen=True, tag="nothing-left"):
    """A job asked for a learner and there was none for it: it will end."""


class Requeued(Record, frozen=True, tag="requeued"):
    """The queue shows a job in line for another start: nothing of it runs, as far as is known."""

    job_id: str


class JobGone(Record, frozen=True, tag="job-gone"):
    """A job is no longer in the queue."""

    job_id: str
    end: str
    #: The scheduler's own word for it, where there is one.
    state: str = ""
    #: Whether the machine or a more urgent job ended it, and not what it did.
    is_no_fault: bool = False
    #: The last lines of its output, when it ended without a word.
    output: str = ""
    #: Whether it ended before it had asked for a learner.
    is_failed_start: bool = False
    #: Whether the scheduler knows its end; else it may only have been left out of the queue.
    is_certain: bool = False


class Retried(OfLearner, frozen=True, tag="retried"):
    """A learner that had been given up gets new tries."""


class Cancelled(OfLearner, frozen=True, tag="cancelled"):
    """A learner is not to be run until it is retried; its job, if it has one, will end."""


class Reopened(OfLearner, frozen=True, tag="reopened"):
    """A learner that was done is not, by another goal."""


class Troubled(OfLearner, frozen=True, tag="troubled"):
    """A learner's job has told what hinders it; nothing does any more if `text` is empty."""

    text: str


class Paused(Record, frozen=True, tag="paused"):
    """Nothing new is to be submitted."""


class Resumed(Record, frozen=True, tag="resumed"):
    """What is missing is to be submitted again."""


class JobsCancelled(Record, frozen=True, tag="jobs-cancelled"):
    """The scheduler is asked to end jobs that nobody needs: that they end is no failure."""

    job_ids: list[str]


class RunEnded(Record, frozen=True, tag="run-ended"):
    """The run is over; `status` is finished, cancelled or failed."""

    status: str


class LearnerWas(OfLearner, frozen=True, tag="learner-was"):
    """A learner's state at the time of a compaction."""

    state: str
    attempt: int = 0
    fails: int = 0
    error: str = ""
    traceback: str = ""
    job: JobIdentity | None = None
    job_name: str = ""
    log_fname: str = ""
    host: str = ""
    started: float | None = None
    ended: float | None = None
    npoints: int | None = None
    is_cancelled: bool = False
    trouble: str = ""
    last_end: str = ""


class JobWas(Record, frozen=True, tag="job-was"):
    """A living job at the time of a compaction."""

    job_id: str
    restarts: int
    job_name: str
    number: int
    token: str
    submitted: float
    started: float | None = None
    has_worked: bool = False
    #: When its submission was begun, if that is known.
    requested: float | None = None
    is_leaving: bool = False
    is_interrupted: bool = False
    last_learner: int | None = None


class JobsWereOver(Record, frozen=True, tag="jobs-were-over"):
    """Jobs that were gone at the time of a compaction, and may not come back, or only once."""

    #: Restarts of the jobs that had ended, by id.
    ended: dict[str, int]
    #: Ids of those that were only missed.
    missed: list[str]


class TotalsWere(Record, frozen=True, tag="totals-were"):
    """What had happened up to a compaction."""

    submitted: int
    gone: int
    failed_starts_in_a_row: int
    starting_times: list[float]
    began: float | None = None
    ends: dict[str, int] = {}


AnyRecord: TypeAlias = (
    RunBegan
    | ManagerStarted
    | Submitting
    | Submitted
    | NotSubmitted
    | Assigned
    | Done
    | Failed
    | Released
    | NothingLeft
    | Requeued
    | JobGone
    | Retried
    | Cancelled
    | Reopened
    | Troubled
    | Paused
    | Resumed
    | JobsCancelled
    | RunEnded
    | LearnerWas
    | JobWas
    | JobsWereOver
    | TotalsWere
)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyRecord)


def read_record(line: bytes) -> AnyRecord:
    """Read one line of a journal.

    Raises
    ------
    RunFolderError
        If it is no record.
    """
    try:
        record: AnyRecord = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{error}.") from error
    return record


def write_record(record: AnyRecord) -> bytes:
    """Return the line of a journal that is this record, its end included."""
    return _encoder.encode(record) + b"\n"
