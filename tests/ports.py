"""Ports for servers that are told where to listen."""

from __future__ import annotations

import random
import socket
from collections import deque
from collections.abc import Iterator

#: Ports that nobody gets who does not name one, from the kernel or from zmq: they stay
#: free until they are used.
_PORTS = range(20_000, 32_000)
#: Sockets by whose names other tests, which run at the same time, know that a port is taken
#: though nobody listens yet. The kernel forgets the name when this process ends.
_claims: deque[socket.socket] = deque()
#: Somebody listens at the others by now, or is gone.
_MOST_CLAIMS = 50


def free_ports(n: int) -> list[int]:
    """Return ports on which nobody listens now, and which no other test gets."""
    ports: Iterator[int] = iter(random.SystemRandom().sample(_PORTS, k=len(_PORTS)))
    free: list[int] = []
    while len(free) < n:
        port = next(ports)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                _claim(port)
                probe.bind(("", port))
            except OSError:
                continue
        free.append(port)
    return free


def _claim(port: int) -> None:
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0port {port} of the tests of adaptive_scheduler")
    except OSError:
        claim.close()
        raise
    _claims.append(claim)
    while len(_claims) > _MOST_CLAIMS:
        _claims.popleft().close()
