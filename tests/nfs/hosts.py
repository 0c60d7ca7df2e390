"""Hosts in the guest, which share a disk by NFS and nothing else that matters here.

Each is a set of namespaces: a network with a cable to the server, mounts, and a host name. To
the server they are two clients, and what one has cached the other knows nothing of.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any

#: The addresses of the hosts; each is in a network of its own, with that of the server.
ADDRESSES = ("10.77.0.2", "10.77.1.2", "10.77.2.2")
_OPTIONS = "vers=4.2,addr={server},clientaddr={client}"

#: For unshare(2): mounts, host name and network.
_NAMESPACES = 0x00020000 | 0x04000000 | 0x40000000
_LOOPBACK_AND_CABLE = (
    "ip link set lo up && ip link add cable type veth peer name {cable} netns 1 && "
    "ip address add {client}/24 dev cable && ip link set cable up && "
    "nsenter --target 1 --net sh -c 'ip address add {server}/24 dev {cable} && "
    "ip link set {cable} up && echo 1 >/proc/sys/net/ipv4/ip_forward' && "
    "ip route add default via {server} && hostname host{number} && "
    "mount --make-rprivate / && "
    "mount -i -t nfs4 -o {options} {server}:/ {folder}"
)


class _Manager(BaseManager):
    """Makes objects on a host, and passes on what is asked of them."""


class Host:
    """A host.

    Parameters
    ----------
    number
        Which.
    folder
        Where it has the shared disk.
    types
        Classes and functions that make objects on it, see `make`.
    """

    def __init__(self, number: int, folder: Path, *types: Callable[..., Any]) -> None:
        self.number = number
        self._cable = f"server{number}"
        # Types are registered with a class: each host has one of its own.
        kind = type("_ManagerOfOne", (_Manager,), {})
        for each in types:
            kind.register(each.__name__, each)
        self._manager = kind(ctx=get_context("fork"))
        self._manager.start(_enter, (number, self._cable, folder))

    @property
    def pid(self) -> int:
        """A process on it, which others may enter it by."""
        return self._manager._process.pid

    def make(self, kind: Callable[..., Any], *arguments: Any) -> Any:
        """Make an object on this host; what is returned passes calls on to it."""
        return getattr(self._manager, kind.__name__)(*arguments)

    def pull_cable(self) -> None:
        """Cut it off from the server, and so from everything."""
        subprocess.run(["ip", "link", "set", self._cable, "down"], check=True)

    def plug_cable(self) -> None:
        """Connect it again."""
        subprocess.run(["ip", "link", "set", self._cable, "up"], check=True)

    def enter(self) -> list[str]:
        """Return the beginning of commands that run on this host."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--uts"]

    def kill(self) -> None:
        """Kill the process that answers for it."""
        os.kill(self.pid, signal.SIGKILL)
        self._manager._process.join()

    def close(self) -> None:
        """Switch it off."""
        self._manager.shutdown()


def _enter(number: int, cable: str, folder: Path) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(_NAMESPACES):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    client = ADDRESSES[number]
    server = client.removesuffix("2") + "1"
    command = _LOOPBACK_AND_CABLE.format(
        number=number,
        cable=cable,
        client=client,
        server=server,
        folder=folder,
        options=_OPTIONS.format(server=server, client=client),
    )
    subprocess.run(["sh", "-c", command], check=True)
