"""What a job and the manager say to each other.

A job sends a `Request` from a DEALER socket, the manager answers with one
`Reply` from a ROUTER socket; both are msgpack of the structs below. A request
is repeated until it is answered, and handling one twice does no harm.

Nothing that comes from a socket is ever unpickled.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, TypeAlias, TypeVar

import msgspec

#: Largest message in bytes that either side reads; a traceback fits in easily.
MAX_MESSAGE_SIZE = 1 << 20
#: Characters of a traceback or another text that a message carries at most.
MAX_TEXT = 100_000
#: Numbers end here: each is exact as a float, too, fits wherever it is counted with, and
#: can be counted on from.
MAX_NUMBER = 2**53
#: Figures that a message carries at most.
_MAX_FIGURES = 1000

T = TypeVar("T")

Name: TypeAlias = Annotated[str, msgspec.Meta(max_length=4096)]
Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
Natural: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
Whole: TypeAlias = Annotated[int, msgspec.Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)]
#: Of a request: it begins with the time in nanoseconds, and nothing is counted with it.
SequenceNumber: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
#: What somebody may want of a run that goes on.
Command: TypeAlias = Literal["pause", "resume", "retry", "cancel"]
#: Figures of a status, as they stand in the log.
Figures: TypeAlias = Annotated[
    dict[Name, float | Whole | Text | None], msgspec.Meta(max_length=_MAX_FIGURES)
]


class JobIdentity(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Which job this is: the scheduler's id and how often that was started again."""

    job_id: Name
    restarts: Natural = 0

    def __str__(self) -> str:
        return f"{self.job_id}" + (f" (restart {self.restarts})" if self.restarts else "")


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """One job's hold on one learner. Numbers count from 1 for each learner."""

    learner: Natural
    number: Annotated[int, msgspec.Meta(ge=1, le=MAX_NUMBER)]


# Job -> manager.


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """A job wants a learner, or tells which one it has been working on unheard."""

    job: JobIdentity
    job_name: Name
    number: Natural
    host: Name
    pid: Natural
    log_fname: Name
    holding: Attempt | None = None
    #: Of the package that the job runs: another than the manager's, after an update under it.
    version: Name = ""


class Status(msgspec.Struct, frozen=True, omit_defaults=True, tag="status"):
    """How far a job is, and what hinders it, if anything does."""

    job: JobIdentity
    attempt: Attempt
    figures: Figures
    #: What the user should know at once: data can't be saved, or could not be read.
    trouble: Text | None = None


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The learner has reached its goal and is saved."""

    job: JobIdentity
    attempt: Attempt
    figures: Figures


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The attempt has failed; what was computed is saved."""

    job: JobIdentity
    attempt: Attempt
    error: Text
    traceback: Text = ""


class Released(msgspec.Struct, frozen=True, tag="released"):
    """The job gives its learner back, through no fault of the learner's."""

    job: JobIdentity
    attempt: Attempt
    reason: Text


class CancelRun(msgspec.Struct, frozen=True, tag="cancel-run"):
    """Somebody at a shell wants the run to end; `job` names the asking process."""

    job: JobIdentity


class CommandRequest(msgspec.Struct, frozen=True, omit_defaults=True, tag="command"):
    """A shell commands the run; `job` names the asking process."""

    job: JobIdentity
    command: Command
    #: Which learners are meant; None for all, where that is possible.
    learners: tuple[Natural, ...] | None = None


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Somebody wants to know whether the manager lives; `job` names the asking process."""

    job: JobIdentity


Report: TypeAlias = Done | Failed | Released
Message: TypeAlias = Hello | Status | Done | Failed | Released | CancelRun | CommandRequest | Ping

# Manager -> job.


class Assigned(msgspec.Struct, frozen=True, tag="assigned"):
    """The job has this learner now."""

    attempt: Attempt


class Accepted(msgspec.Struct, frozen=True, tag="accepted"):
    """Heard, and written down where that matters."""


class NothingLeft(msgspec.Struct, frozen=True, tag="nothing-left"):
    """There is no learner for this job; it may end."""


class Superseded(msgspec.Struct, frozen=True, tag="superseded"):
    """Another job has this learner, or it is done: stop, and save over nothing."""


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """The run has been cancelled: save and end."""


class CommandResult(msgspec.Struct, frozen=True, omit_defaults=True, tag="command-result"):
    """What became of a command, in words."""

    words: Text
    is_refused: bool = False


Answer: TypeAlias = Assigned | Accepted | NothingLeft | Superseded | Stop | CommandResult


class Request(msgspec.Struct, frozen=True, array_like=True):
    """A message with the number by which its reply is known."""

    seq: SequenceNumber
    message: Message


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """An answer to the request with number `seq`."""

    seq: SequenceNumber
    answer: Answer


_encoder = msgspec.msgpack.Encoder()
_request_decoder = msgspec.msgpack.Decoder(Request)
_reply_decoder = msgspec.msgpack.Decoder(Reply)


def encode(envelope: Request | Reply) -> bytes:
    """Return the bytes that go over the wire."""
    return _encoder.encode(envelope)


def decode_request(data: bytes) -> Request:
    """Read a request.

    Raises
    ------
    msgspec.DecodeError
        If `data` is anything else.
    """
    return _decode(_request_decoder, data)


def decode_reply(data: bytes) -> Reply:
    """Read a reply.

    Raises
    ------
    msgspec.DecodeError
        If `data` is anything else.
    """
    return _decode(_reply_decoder, data)


def _decode(decoder: msgspec.msgpack.Decoder[T], data: bytes) -> T:
    try:
        return decoder.decode(data)
    except UnicodeDecodeError as error:  # the one thing that msgspec does not wrap
        raise msgspec.DecodeError(f"Text is malformed: {error}") from error


def clip(text: str, limit: int = MAX_TEXT) -> str:
    """Turn `text` into what a message may carry; the end says most in a traceback."""
    # File names that are no text have surrogates in Python, and those can't be encoded.
    text = text.encode(errors="replace").decode()
    return text if len(text) <= limit else "..." + text[3 - limit :]


def finite(value: float | None) -> float | None:
    """Return `value`, or None where it is infinite or not a number."""
    return value if value is not None and math.isfinite(value) else None
