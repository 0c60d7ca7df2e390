"""Hosts with networks of their own, between which cables can be pulled.

Each is a network namespace that ends with the process that holds it. They
share files, as the hosts of a cluster do.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest


class Host:
    """A host with a loopback interface, and cables to others."""

    def __init__(self, name):
        self.name = name
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"],
            stdout=subprocess.PIPE,
        )
        self._programs = []
        if self._holder.stdout.read(3) != b"up\n":
            self.close()
            pytest.skip("Network namespaces take the rights of root, and the program `ip`.")

    @property
    def pid(self):
        return self._holder.pid

    def run(self, *command):
        """Run a command on this host."""
        subprocess.run(self._here(*command), check=True)

    def python(self, *arguments, folder):
        """Start a Python program on this host; its errors go into a file."""
        with (Path(folder) / f"{self.name}.errors").open("ab") as errors:
            program = subprocess.Popen(
                self._here(sys.executable, *arguments),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
            )
        self._programs.append(program)
        return program

    def _here(self, *command):
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *map(str, command)]

    def close(self):
        """End what runs here, and the host."""
        for process in [*self._programs, self._holder]:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()


class Cable:
    """A cable between two hosts, in a network of its own with a given number."""

    def __init__(self, one, other, number):
        self._one, self._end = one, f"c{number}a"
        peer = ("peer", "name", f"c{number}b", "netns", str(other.pid))
        one.run("ip", "link", "add", self._end, "type", "veth", *peer)
        for host, end, last in ((one, "a", 1), (other, "b", 2)):
            host.run("ip", "address", "add", f"10.77.{number}.{last}/24", "dev", f"c{number}{end}")
            host.run("ip", "link", "set", f"c{number}{end}", "up")
        self.address = f"10.77.{number}.1"

    def pull(self):
        """Let nothing through from now on."""
        self._one.run("ip", "link", "set", self._end, "down")

    def plug(self):
        """Let everything through again."""
        self._one.run("ip", "link", "set", self._end, "up")
