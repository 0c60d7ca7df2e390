"""Where the manager listens, and where jobs look for it."""

from __future__ import annotations

import re
import resource
import socket
from typing import NamedTuple

import psutil

from adaptive_scheduler._common.addresses import own_addresses
from adaptive_scheduler.errors import InvalidInputError

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
