"""CurveZMQ: the keys of both sides, the connection file that holds them, and sockets that use them.

The manager accepts only the public key of this run's jobs (by ZAP), and jobs accept only the
manager whose public key the connection file names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec
import zmq

from adaptive_scheduler._common.trusted import read_trusted
from adaptive_scheduler.errors import ConnectionLostError
from adaptive_scheduler.protocol.messages import MAX_MESSAGE_SIZE


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
    def read(cls, path: Path) -> Connection:
        """Read a connection file.

        Raises
        ------
        UntrustedFileError
            Another user may have written or read it.
        ConnectionLostError
            It is damaged.
        OSError
            It can't be opened.
        """
        return cls.from_json(read_trusted(path, private=True))

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


#: ZMQ's heartbeats notice a peer that vanished without closing its connection.
_HEARTBEAT_INTERVAL_MS = 30_000
_HEARTBEAT_TIMEOUT_MS = 120_000
#: libzmq tries again after a broken connection, with growing pauses up to this.
_RECONNECT_MAX_MS = 30_000

#: A socket of the kind that a context makes: one that blocks, or one for asyncio.
JobSocket = TypeVar("JobSocket", bound="zmq.Socket[Any]")


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
