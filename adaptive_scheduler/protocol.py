"""What a job and the manager say to each other, and how nobody else can.

A job sends a `Request` from a DEALER socket, the manager answers with one
`Reply` from a ROUTER socket; both are msgpack of the structs below. A request
is repeated until it is answered, and handling one twice does no harm.

Sockets speak CurveZMQ. The manager accepts only the public key of this run's
jobs (by ZAP), and jobs accept only the manager whose public key the connection
file names. Nothing that comes from a socket is ever unpickled.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
import zmq

from adaptive_scheduler.errors import ConnectionLostError

#: Largest message in bytes that either side reads; a traceback fits in easily.
MAX_MESSAGE_SIZE = 1 << 20
#: Characters of a traceback or another text that a message carries at most.
MAX_TEXT = 100_000
#: ZMQ's heartbeats notice a peer that vanished without closing its connection.
_HEARTBEAT_INTERVAL_MS = 30_000
_HEARTBEAT_TIMEOUT_MS = 120_000
#: libzmq tries again after a broken connection, with growing pauses up to this.
_RECONNECT_MAX_MS = 30_000
#: Numbers end here: each is exact as a float, too, fits wherever it is counted with, and
#: can be counted on from.
MAX_NUMBER = 2**53
#: Figures that a message carries at most.
_MAX_FIGURES = 1000

T = TypeVar("T")
#: A socket of the kind that a context makes: one that blocks, or one for asyncio.
JobSocket = TypeVar("JobSocket", bound="zmq.Socket[Any]")

Name: TypeAlias = Annotated[str, msgspec.Meta(max_length=4096)]
Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
Natural: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
Whole: TypeAlias = Annotated[int, msgspec.Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)]
#: Of a request: it begins with the time in nanoseconds, and nothing is counted with it.
SequenceNumber: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
#: What somebody may want of a run that goes on.
Wish: TypeAlias = Literal["pause", "resume", "retry", "cancel"]
#: Figures of a status, as they stand in the log.
Figures: TypeAlias = Annotated[
    dict[Name, float | Whole | Text | None], msgspec.Meta(max_length=_MAX_FIGURES)
]


class JobIdentity(msgspec.Struct, frozen=True, array_like=True):
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


class Steer(msgspec.Struct, frozen=True, omit_defaults=True, tag="steer"):
    """Somebody at a shell wants the run to be steered; `job` names the asking process."""

    job: JobIdentity
    wish: Wish
    #: Which learners are meant; None for all, where that is possible.
    learners: tuple[Natural, ...] | None = None


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Somebody wants to know whether the manager lives; `job` names the asking process."""

    job: JobIdentity


Report: TypeAlias = Done | Failed | Released
Message: TypeAlias = Hello | Status | Done | Failed | Released | CancelRun | Steer | Ping

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


class Steered(msgspec.Struct, frozen=True, omit_defaults=True, tag="steered"):
    """What became of somebody's wish, in words."""

    words: Text
    is_refused: bool = False


Answer: TypeAlias = Assigned | Accepted | NothingLeft | Superseded | Stop | Steered


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


# Keys and sockets.


class KeyPair(msgspec.Struct, frozen=True):
    """A Curve25519 key pair in Z85."""

    public: str
    secret: str

    @classmethod
    def new(cls) -> KeyPair:
        """Make a key pair that nobody has seen."""
        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret.decode())


class Connection(msgspec.Struct, frozen=True):
    """What a job must know to reach the manager: the contents of ``connection.json``."""

    addresses: tuple[str, ...]
    manager_key: str
    job_keys: KeyPair

    @classmethod
    def from_json(cls, text: bytes) -> Connection:
        """Read the connection file's text."""
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConnectionLostError(f"The connection file can't be read: {error}.") from error

    def to_json(self) -> bytes:
        """Return the connection file's text."""
        return msgspec.json.format(msgspec.json.encode(self))


def manager_socket(context: zmq.Context[zmq.Socket[bytes]], keys: KeyPair) -> zmq.Socket[bytes]:
    """Return a ROUTER socket that only clients with an accepted key can talk to."""
    socket = context.socket(zmq.ROUTER)
    _set_common_options(socket, keys)
    socket.curve_server = True
    # A job that reconnects keeps its place; answers to a job that is gone are dropped.
    socket.router_mandatory = False
    socket.backlog = 4096
    return socket


def job_socket(context: zmq.Context[JobSocket], connection: Connection, address: str) -> JobSocket:
    """Return a DEALER socket on its way to the manager at `address`, of the context's kind."""
    socket = context.socket(zmq.DEALER)
    _set_common_options(socket, connection.job_keys)
    socket.curve_serverkey = connection.manager_key.encode()
    socket.reconnect_ivl_max = _RECONNECT_MAX_MS
    socket.connect(address)
    return socket


def _set_common_options(socket: zmq.Socket[Any], keys: KeyPair) -> None:
    socket.curve_publickey = keys.public.encode()
    socket.curve_secretkey = keys.secret.encode()
    socket.maxmsgsize = MAX_MESSAGE_SIZE
    socket.linger = 0
    socket.heartbeat_ivl = _HEARTBEAT_INTERVAL_MS
    socket.heartbeat_timeout = _HEARTBEAT_TIMEOUT_MS
