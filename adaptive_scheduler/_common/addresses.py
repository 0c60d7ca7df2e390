"""The addresses of this machine."""

from __future__ import annotations

import socket

import psutil


def own_addresses() -> list[str]:
    """Return the IPv4 addresses of this machine: that of its name first, loopback last."""
    addresses = [
        address.address
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family == socket.AF_INET
    ]
    try:
        named = socket.gethostbyname(socket.gethostname())
    except OSError:  # a machine that can't resolve its own name
        named = ""
    return sorted(addresses, key=lambda a: (a.startswith("127."), a != named))
