"""Tells a job when one of its workers dies, on whatever node.

Each worker holds a connection to the job, over which nothing is said. The
kernel closes it when the worker ends, however that happens.
"""

from __future__ import annotations

import hmac
import os
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from adaptive_scheduler._common.addresses import own_addresses

#: Bytes of the word by which the job knows its workers.
_N_SECRET = 16
#: Seconds that a worker gives each address.
_PATIENCE = 5.0
#: Bytes that a worker says at most.
_MOST_SAID = 512
#: Connections that may wait to be accepted: all workers come at once.
_BACKLOG = 4096


class Lifeline(NamedTuple):
    """Where a worker finds its job."""

    hosts: list[str]
    port: int
    secret: bytes

    def hold(self, name: str) -> socket.socket | None:
        """Return a connection that the job watches; None if no address can be reached."""
        for host in self.hosts:
            try:
                connection = socket.create_connection((host, self.port), timeout=_PATIENCE)
                connection.sendall(self.secret + name.encode() + b"\n")
            except OSError:
                continue
            return connection
        return None


class Lifelines:
    """The job's ends of all lifelines, watched by a thread.

    Parameters
    ----------
    on_death
        Called in that thread with the name of a worker that has died.
    """

    def __init__(self, on_death: Callable[[str], None]) -> None:
        self._on_death = on_death
        self._secret = os.urandom(_N_SECRET)
        self._listener = socket.create_server(("", 0), backlog=_BACKLOG)
        self._stopping, self._stop = socket.socketpair()
        #: What each connection has said.
        self._said: dict[socket.socket, bytes] = {}
        threading.Thread(target=self._watch, name="lifelines", daemon=True).start()

    @property
    def lifeline(self) -> Lifeline:
        """What workers are given."""
        port: int = self._listener.getsockname()[1]
        return Lifeline([socket.gethostname(), *own_addresses()], port, self._secret)

    def close(self) -> None:
        """Let go of all workers."""
        self._stop.close()

    def _watch(self) -> None:
        with selectors.DefaultSelector() as selector, self._listener, self._stopping:
            for watched in (self._listener, self._stopping):
                watched.settimeout(0)
                selector.register(watched, selectors.EVENT_READ)
            while all(self._heed(key.fileobj, selector) for key, _ in selector.select()):
                pass
            for connection in self._said:
                connection.close()

    def _heed(self, ready: Any, selector: selectors.BaseSelector) -> bool:
        """Take note of what a socket brings; return whether to go on."""
        if ready is self._stopping:
            return False
        if ready is self._listener:
            with suppress(OSError):  # it has hung up already
                connection, _ = ready.accept()
                connection.settimeout(0)
                self._said[connection] = b""
                selector.register(connection, selectors.EVENT_READ)
        elif not self._hear(ready):
            selector.unregister(ready)
            ready.close()
            said = self._said.pop(ready)
            if hmac.compare_digest(said[:_N_SECRET], self._secret):
                self._on_death(said[_N_SECRET:].decode(errors="replace").strip())
        return True

    def _hear(self, connection: socket.socket) -> bool:
        """Read what is said; return whether the connection is still of use."""
        try:
            said = connection.recv(_MOST_SAID)
        except BlockingIOError:
            return True
        except OSError:  # its node is gone
            return False
        self._said[connection] += said
        return bool(said) and len(self._said[connection]) <= _MOST_SAID
