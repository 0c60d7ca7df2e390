"""Question and answer between `Local` and its daemon: one JSON text each way."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from adaptive_scheduler.scheduler.local.spool import Spool

#: Grows when daemons and clients of different age could not understand each other.
VERSION = 2

Message: TypeAlias = dict[str, Any]

_CHUNK = 1 << 18
#: As many clients may wait until the daemon turns to them.
_BACKLOG = 128


def listen(spool: Spool) -> socket.socket:
    """Return a socket at which the spool's daemon can be reached."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    (spool.folder / "socket").unlink(missing_ok=True)
    with spool.socket_address() as address:
        listener.bind(address)
    listener.listen(_BACKLOG)
    listener.settimeout(0)
    return listener


def exchange(spool: Spool, question: Message, deadline: float) -> Message:
    """Ask the daemon and return what it says.

    Parameters
    ----------
    deadline
        On `time.monotonic`'s clock. The daemon does nothing about a question
        that it reads later.

    Raises
    ------
    ConnectionRefusedError, FileNotFoundError
        If there is no daemon.
    ConnectionError
        If it went away before it had said all.
    TimeoutError
        If it did not answer in time.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_remaining(deadline))
        with spool.socket_address() as address:
            try:
                connection.connect(address)
            except BlockingIOError as error:
                raise TimeoutError("too many are waiting for an answer") from error
        text = json.dumps(question | {"version": VERSION, "deadline": deadline})
        connection.sendall(text.encode())
        connection.shutdown(socket.SHUT_WR)
        received = bytearray()
        while True:
            connection.settimeout(_remaining(deadline))
            chunk = connection.recv(_CHUNK)
            if not chunk:
                return _parse(received)
            received += chunk


def _remaining(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _parse(received: bytearray) -> Message:
    try:
        return dict(json.loads(received))
    except ValueError as error:
        raise ConnectionAbortedError("the answer was cut off") from error


class Conversation:
    """One connection as the daemon sees it: reads a question, then writes the answer.

    Parameters
    ----------
    connection
        A non-blocking socket.
    answer
        Returns the answer to a question.
    """

    def __init__(self, connection: socket.socket, answer: Callable[[Message], Message]) -> None:
        self.connection = connection
        self._answer = answer
        self._received = bytearray()
        self._to_send: memoryview | None = None

    @property
    def is_writing(self) -> bool:
        """Whether the question has been read."""
        return self._to_send is not None

    def go_on(self) -> bool:
        """Read or write what can be; return whether there is more to come."""
        try:
            return self._read() if self._to_send is None else self._write(self._to_send)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False

    def _read(self) -> bool:
        chunk = self.connection.recv(_CHUNK)
        if chunk:
            self._received += chunk
            return True
        if not self._received:
            return False
        self._to_send = memoryview(json.dumps(self._reply()).encode())
        return self._write(self._to_send)

    def _reply(self) -> Message:
        try:
            question = dict(json.loads(self._received))
        except ValueError:
            return {"error": "the question was cut off"}
        return self._answer(question)

    def _write(self, to_send: memoryview) -> bool:
        self._to_send = to_send[self.connection.send(to_send) :]
        return len(self._to_send) > 0
