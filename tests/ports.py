"""Ports for servers that are told where to listen."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

#: Ports that nobody gets who does not name one, from the kernel or from zmq: they stay
#: free until they are used.
_PORTS = range(20_000, 32_000)


def free_ports(n: int) -> list[int]:
    """Return ports on which nobody listens now."""
    ports: Iterator[int] = iter(random.SystemRandom().sample(_PORTS, k=len(_PORTS)))
    free: list[int] = []
    while len(free) < n:
        port = next(ports)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                continue
        free.append(port)
    return free
