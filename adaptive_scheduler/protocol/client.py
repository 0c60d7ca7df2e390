"""A job's connection to the manager: tries all addresses, and asks until it is answered."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import zmq
import zmq.asyncio

from adaptive_scheduler.errors import ConnectionLostError
from adaptive_scheduler.protocol import curve, messages

#: Seconds before a request is repeated; this doubles up to `_LONGEST_PAUSE`.
_FIRST_PAUSE = 2.0
_LONGEST_PAUSE = 15.0
#: Seconds to wait for a plain connection when finding out whether anybody listens.
_PROBE_TIMEOUT = 2.0


class ManagerConnection:
    """Sends requests to the manager that a connection file names.

    The file is read again whenever nobody answers: the manager may have moved.

    Parameters
    ----------
    path
        The connection file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._context = zmq.asyncio.Context()
        self._sockets: list[zmq.asyncio.Socket] = []
        self._lock = asyncio.Lock()
        # Numbers go up even from one process of a job to its next.
        self._seq = time.time_ns()

    async def request(
        self, message: messages.Message, *, patience: float
    ) -> messages.Answer | None:
        """Return the manager's answer, or None if there was none within `patience` seconds.

        Raises
        ------
        UntrustedFileError
            Another user may have written or read the connection file.
        """
        async with self._lock:
            self._seq += 1
            data = messages.encode(messages.Request(self._seq, message))
            deadline = time.monotonic() + patience
            pause = _FIRST_PAUSE
            while (left := deadline - time.monotonic()) > 0:
                self._connect()
                for socket in self._sockets:
                    await socket.send(data)
                answer = await self._receive(self._seq, min(pause, left))
                if answer is not None:
                    return answer
                self._disconnect()
                pause = min(2 * pause, _LONGEST_PAUSE)
            return None

    async def is_refused(self) -> bool:
        """Whether it is certain that nobody listens at any address; raises as `request`."""
        connection = self._read_file()
        if connection is None:
            return True
        probes = (_refuses(address) for address in connection.addresses)
        return all(await asyncio.gather(*probes))

    def close(self) -> None:
        """Close all sockets."""
        self._disconnect()
        self._context.destroy(linger=0)

    def _connect(self) -> None:
        """Open a socket to each address, until one of them has answered."""
        if self._sockets:
            return
        connection = self._read_file()
        if connection is not None:
            self._sockets = [
                curve.job_socket(self._context, connection, address)
                for address in connection.addresses
            ]

    def _disconnect(self) -> None:
        for socket in self._sockets:
            socket.close(linger=0)
        self._sockets = []

    def _read_file(self) -> curve.Connection | None:
        try:
            return curve.Connection.read(self._path)
        except (OSError, ConnectionLostError):
            return None

    async def _receive(self, seq: int, patience: float) -> messages.Answer | None:
        """Wait for the reply to request `seq` on any socket; the first to answer is kept."""
        if not self._sockets:
            await asyncio.sleep(patience)
            return None
        poller = zmq.asyncio.Poller()
        for socket in self._sockets:
            poller.register(socket, zmq.POLLIN)
        deadline = time.monotonic() + patience
        while (left := deadline - time.monotonic()) > 0:
            for socket, _ in await poller.poll(1000 * left):
                try:
                    reply = messages.decode_reply(await socket.recv())
                except msgspec.DecodeError:
                    continue
                if reply.seq == seq:
                    self._keep(socket)
                    return reply.answer
        return None

    def _keep(self, socket: zmq.asyncio.Socket) -> None:
        for other in self._sockets:
            if other is not socket:
                other.close(linger=0)
        self._sockets = [socket]


async def _refuses(address: str) -> bool:
    url = urlsplit(address)
    try:
        opening = asyncio.open_connection(url.hostname, url.port)
        _, writer = await asyncio.wait_for(opening, _PROBE_TIMEOUT)
    except ConnectionRefusedError:
        return True
    except (OSError, TimeoutError):
        return False  # a network that is slow or down tells nothing about the manager
    writer.close()
    return False
