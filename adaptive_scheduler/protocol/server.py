"""The manager's socket: where it listens; requests are answered when their records are on disk."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import resource
import socket
from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec
import psutil
import zmq
import zmq.auth.asyncio

from adaptive_scheduler._common.addresses import own_addresses
from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.protocol import curve, messages

_LOOPBACK = "127.0.0.1"
_LAST_PORT = 65535
_PORT = re.compile(r"\*|[0-9]{1,5}")
_ANY = ("", "*", "0.0.0.0")  # noqa: S104  how users say "all interfaces"


class Listening(NamedTuple):
    """Where to bind: a host (an address of this machine or ``*``), and a port, if it matters."""

    host: str
    port: int | None


def parse_url(url: str | None, *, is_local: bool) -> Listening:
    """Say where a manager with this `url` listens.

    Parameters
    ----------
    url
        ``"tcp://host:port"``, where the host is an address, a name or an
        interface of this machine or ``*``, and the port a number or ``*``
        (or 0). None leaves both open.
    is_local
        Whether all jobs run on this machine: then nobody else need reach it.

    Raises
    ------
    InvalidInputError
        If the URL is anything else.
    """
    host, port = "*", "*"
    if url is not None:
        scheme, _, rest = url.partition("://")
        host, _, port = rest.rpartition(":")
        if scheme != "tcp" or not _PORT.fullmatch(port) or (port != "*" and int(port) > _LAST_PORT):
            raise InvalidInputError(f"A url looks like 'tcp://host:port', not {url!r}.")
    number = None if port == "*" else int(port) or None
    if is_local:
        return Listening(_LOOPBACK, number)
    if host in _ANY:
        return Listening("*", number)
    return Listening(_address_of(host), number)


def published_addresses(listening: Listening, port: int) -> tuple[str, ...]:
    """Return the addresses that jobs try, the likeliest first."""
    hosts = own_addresses() if listening.host == "*" else [listening.host]
    return tuple(f"tcp://{host}:{port}" for host in hosts)


def get_allowed_url() -> str:
    """Return a URL on this machine where nobody listens, ``"tcp://host:port"``."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return f"tcp://{own_addresses()[0]}:{probe.getsockname()[1]}"


def raise_descriptor_limit() -> int:
    """Allow this process as many file descriptors as it may have; each job takes one.

    Returns
    -------
    int
        The limit that now holds.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _address_of(host: str) -> str:
    """Return the IPv4 address of a host name, or of an interface of this machine."""
    for address in psutil.net_if_addrs().get(host, ()):
        if address.family == socket.AF_INET:
            return address.address
    try:
        return socket.gethostbyname(host)
    except OSError as error:
        raise InvalidInputError(
            f"The url's host {host!r} is neither an interface nor a name of this machine: {error}."
        ) from error


log = logging.getLogger(__name__)

#: Name under which libzmq asks whether a key is accepted.
_ZAP_DOMAIN = "adaptive-scheduler"
#: Requests that are read in one go; the loop does other things in between.
_REQUESTS_AT_ONCE = 512
#: Seconds before a failed write of the journal is tried again.
_DISK_RETRY_PAUSE = 1.0
#: Seconds for which the last write of the journal is tried again.
_LAST_FLUSH_PATIENCE = 10.0


class _AcceptJobs:
    """Tells libzmq which public key may talk to us."""

    def __init__(self, public_key: str) -> None:
        self._key = public_key.encode()

    def callback(self, domain: str, key: bytes) -> bool:
        return domain == _ZAP_DOMAIN and key == self._key


class _Unsent(NamedTuple):
    """An answer that waits for its records to be written."""

    peer: bytes
    request: messages.Request
    answer: messages.Answer


class WriteAheadLog(Protocol):
    """What must be on disk before an answer that rests on it may leave."""

    @property
    def is_flushed(self) -> bool:
        """Whether everything that was appended lies on disk."""

    def flush(self) -> None:
        """Write what waits, and return when it lies on disk. Blocks; raises OSError."""


class Server:
    """Answers jobs from a ROUTER socket on the running loop.

    Parameters
    ----------
    handle
        Returns the answer to a request, and may append records to the journal.
    journal
        No answer leaves before the records that it rests on are on disk.
    confirm
        Called with a request and its answer when the records are on disk;
        False keeps the answer back, so that the job asks again.
    on_disconnect
        Called after connections have ended.
    """

    def __init__(
        self,
        handle: Callable[[messages.Request], messages.Answer],
        journal: WriteAheadLog,
        confirm: Callable[[messages.Request, messages.Answer], bool],
        on_disconnect: Callable[[], None],
    ) -> None:
        self._handle = handle
        self._journal = journal
        self._confirm = confirm
        self._on_disconnect = on_disconnect
        self._loop = asyncio.get_running_loop()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._auth = zmq.auth.asyncio.AsyncioAuthenticator(self._context)
        self._unsent: list[_Unsent] = []
        self._commit: asyncio.Task[None] | None = None
        #: Messages that were not understood, or could not be answered.
        self.n_dropped = 0
        #: Why the journal can't be written at the moment.
        self.disk_error: OSError | None = None
        self.manager_keys = curve.KeyPair.new()
        self.job_keys = curve.KeyPair.new()
        self._socket = curve.manager_socket(self._context, self.manager_keys)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)

    def start(self, host: str, port: int | None) -> int:
        """Listen, and return the port.

        Raises
        ------
        InvalidInputError
            If nobody can listen there, or somebody does already.
        """
        self._auth.start()
        self._auth.configure_curve_callback(
            domain=_ZAP_DOMAIN, credentials_provider=_AcceptJobs(self.job_keys.public)
        )
        self._socket.zap_domain = _ZAP_DOMAIN.encode()
        try:
            if port is None:
                port = self._socket.bind_to_random_port(f"tcp://{host}")
            else:
                self._socket.bind(f"tcp://{host}:{port}")
        except zmq.ZMQError as error:
            self._close_sockets(linger=0)
            self._context.term()
            raise InvalidInputError(
                f"The manager can't listen at 'tcp://{host}:{port or '*'}': {error.strerror}. "
                "Set another `url`."
            ) from error
        self._loop.add_reader(self._fd(self._socket), self._read)
        self._loop.add_reader(self._fd(self._monitor), self._read_monitor)
        self._read_monitor()  # ZMQ tells of events to a reader that has once found none
        return port

    def commit_soon(self) -> asyncio.Task[None]:
        """Write the journal in the background, then send what waits for it."""
        if self._commit is None or self._commit.done():
            self._commit = self._loop.create_task(self._write_and_send())
        return self._commit

    async def flushed(self) -> None:
        """Wait until every record lies on disk."""
        while not self._journal.is_flushed:
            await asyncio.wait([self.commit_soon()])

    async def stop(self) -> None:
        """Write and send what is left, and close the socket."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.flushed(), _LAST_FLUSH_PATIENCE)
        if not self._journal.is_flushed:
            log.error("What happened last is not in the journal: %s", self.disk_error)
            self._unsent.clear()
            if self._commit is not None:
                self._commit.cancel()
        if self._commit is not None:
            await asyncio.wait([self._commit])
        self._send_all()
        self._loop.remove_reader(self._fd(self._monitor))
        self._loop.remove_reader(self._fd(self._socket))
        self._close_sockets(linger=1000)
        await asyncio.to_thread(self._context.term)

    def _close_sockets(self, linger: int) -> None:
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger)
        self._auth.stop()

    def _read(self) -> None:
        """Answer what has arrived. ZMQ tells of new messages once: read until none is left."""
        for _ in range(_REQUESTS_AT_ONCE):
            try:
                peer, *frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            self._receive(peer, frames)
        else:
            self._loop.call_soon(self._read_if_readable)
        if self._journal.is_flushed:
            self._send_all()
        if not self._journal.is_flushed:
            self.commit_soon()

    def _receive(self, peer: bytes, frames: list[bytes]) -> None:
        try:
            (data,) = frames
            request = messages.decode_request(data)
        except (ValueError, msgspec.DecodeError) as error:
            self.n_dropped += 1
            if self.n_dropped.bit_count() == 1:  # the 1st, 2nd, 4th, ...: nothing floods the log
                so_far = "Messages that are none of ours, and dropped: %d; the last: %s"
                log.warning(so_far, self.n_dropped, error)
            return
        try:
            answer = self._handle(request)
        except Exception:  # an error of ours: other jobs must not suffer from it
            self.n_dropped += 1
            log.exception("Could not answer %s", request)
            return
        self._unsent.append(_Unsent(peer, request, answer))

    async def _write_and_send(self) -> None:
        while self._unsent or not self._journal.is_flushed:
            waiting, self._unsent = self._unsent, []
            try:
                await asyncio.to_thread(self._journal.flush)
            except OSError as error:
                self._unsent = waiting + self._unsent
                self._report(error)
                await asyncio.sleep(_DISK_RETRY_PAUSE)
                continue
            self.disk_error = None
            self._send(waiting)

    def _report(self, error: OSError) -> None:
        if self.disk_error is None:
            log.error("The journal can't be written, trying again: %s", error)
        self.disk_error = error

    def _send_all(self) -> None:
        waiting, self._unsent = self._unsent, []
        self._send(waiting)

    def _send(self, unsent: list[_Unsent]) -> None:
        for peer, request, answer in unsent:
            if not self._confirm(request, answer):
                continue
            reply = messages.encode(messages.Reply(request.seq, answer))
            try:
                self._socket.send_multipart([peer, reply], zmq.NOBLOCK)
            except zmq.Again:  # its job doesn't read, and will ask again
                self.n_dropped += 1
        if unsent:
            # Sending may swallow the signal that something has arrived.
            self._loop.call_soon(self._read_if_readable)

    def _read_if_readable(self) -> None:
        if not self._socket.closed and int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            self._read()

    def _read_monitor(self) -> None:
        """Tell of connections that have ended: their jobs may have, too."""
        n_events = 0
        while True:
            try:
                self._monitor.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            n_events += 1
        if n_events:
            self._on_disconnect()

    @staticmethod
    def _fd(socket: zmq.Socket[bytes]) -> int:
        return int(socket.getsockopt(zmq.FD))
