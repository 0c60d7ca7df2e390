"""What is believed about one learner, one job, one submission."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from adaptive_scheduler.protocol.messages import Attempt, JobIdentity

WAITING: Final = "waiting"
READY: Final = "ready"
DELAYED: Final = "delayed"
RUNNING: Final = "running"
DONE: Final = "done"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
LEARNER_STATES: Final = (WAITING, READY, DELAYED, RUNNING, DONE, FAILED, CANCELLED)


@dataclass(frozen=True, slots=True)
class LearnerEntry:
    """A learner as the journal shows it at one moment."""

    index: int
    state: str = READY
    #: Number of the current or last attempt.
    attempt: int = 0
    fails: int = 0
    #: Whether the user wants it to be left alone. A job that has it is being ended.
    is_cancelled: bool = False
    ready_at: float = 0.0
    #: The job that has or had it last.
    job: JobIdentity | None = None
    job_name: str = ""
    log_fname: str = ""
    host: str = ""
    started: float | None = None
    ended: float | None = None
    #: Why the last attempt failed or was released.
    error: str = ""
    traceback: str = ""
    npoints: int | None = None
    #: How the last job that had it ended, in the scheduler's words.
    last_end: str = ""
    #: The problem that its job reported last, such as a full disk.
    trouble: str = ""

    @property
    def current_attempt(self) -> Attempt:
        """The attempt of a learner that is running."""
        return Attempt(self.index, self.attempt)

    def is_held_by(self, job: JobIdentity, number: int) -> bool:
        """Whether `job` has this learner, in attempt `number`."""
        return self.state == RUNNING and self.job == job and self.attempt == number


def waits_again(job_id: str) -> str:
    """Return why a job that was requeued has let go of its learner."""
    return f"Job {job_id} waits in the queue again."


@dataclass(slots=True)
class LearnerHistory:
    """What decides nothing about a learner to which something has happened, see `LearnerEntry`."""

    job_name: str = ""
    log_fname: str = ""
    host: str = ""
    started: float | None = None
    ended: float | None = None
    error: str = ""
    traceback: str = ""
    npoints: int | None = None
    last_end: str = ""
    trouble: str = ""


@dataclass(slots=True)
class JobEntry:
    """One living job, as the journal shows it."""

    job_id: str
    job_name: str
    number: int
    token: str
    submitted: float
    #: When its submission was begun; None if it was not this run that submitted it.
    requested: float | None = None
    restarts: int = 0
    #: When it first asked for a learner.
    started: float | None = None
    #: The learner that it has.
    learner: int | None = None
    #: The one that it has, or had last.
    last_learner: int | None = None
    #: Whether it has ever had a learner.
    has_worked: bool = False
    #: Whether it let go of its learner early; it may have been put back into the queue.
    is_interrupted: bool = False
    #: Whether it was submitted before this manager started, by whatever clock.
    is_inherited: bool = False


@dataclass(slots=True)
class Submission:
    """Jobs whose submission has begun and whose ids are not known."""

    job_name: str
    numbers: tuple[int, ...]
    time: float
    #: Whether it was begun before this manager started, by whatever clock.
    is_inherited: bool = False


@dataclass
class Totals:
    """What has happened so far."""

    submitted: int = 0
    gone: int = 0
    failed_starts_in_a_row: int = 0
    starting_times: list[float] = field(default_factory=list)
    #: How jobs have ended, by the scheduler's word for it.
    ends: Counter[str] = field(default_factory=Counter)
    #: When the first manager started, and when the run ended, in seconds since the epoch.
    began: float | None = None
    ended: float | None = None
