"""An NFS server in the guest, which then runs a program (see `tests.nfs.guest`).

It is called as ``python -m tests.nfs.server MODULES ARGUMENTS``: the folder of the kernel's
modules, and a file with the arguments of a Python, in JSON. The last line that it prints tells
the exit code.
"""

# ruff: noqa: T201  its output is what the guest has to say

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.nfs.guest import IN_GUEST, LAST_LINE
from tests.nfs.hosts import ADDRESSES

#: What the server exports, as it lies on its own disk.
EXPORT = Path("/run/export")
#: Where the server remembers its clients.
_RECOVERY = Path("/run/recovery")
#: Room for data and run folder.
_DISK = "size=32m,mode=700"

_NFSD = Path("/proc/fs/nfsd")
_CACHES = Path("/proc/net/rpc")
#: Whoever asks: no client is told from another.
_CLIENTS = "everybody"
_FOR_EVER = 2**31 - 1
#: Any port of a client will do; no check of parent folders; the root of all exports.
_OPTIONS = 0x0002 | 0x0400 | 0x2000
#: A file system that is known by a number, and which.
_BY_NUMBER, _NUMBER = 1, r"\x00000000"
#: Seconds that the server waits for clients that it had before it was started: none.
_GRACE = 10


def load_module(name: str, modules: Path) -> None:
    """Load a module of the kernel after those that it needs.

    Raises
    ------
    OSError
        If that can't be done.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, needed = line.partition(":")
        if Path(path).name != f"{name}.ko":
            continue
        for each in (*reversed(needed.split()), path):
            if (Path("/sys/module") / Path(each).stem).exists():
                continue
            with (modules / each).open("rb") as file:
                if libc.syscall(_FINIT_MODULE, file.fileno(), b"", 0):
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), each)
        return
    raise FileNotFoundError(f"There is no module '{name}' in '{modules}'.")


#: The number of the system call on x86_64, where user-mode Linux lives.
_FINIT_MODULE = 313


def serve(clients: Sequence[str]) -> None:
    """Export a small disk by NFS 4.2 to these addresses."""
    EXPORT.mkdir()
    _RECOVERY.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", _DISK, "tmpfs", EXPORT], check=True)
    subprocess.run(["mount", "-t", "nfsd", "nfsd", _NFSD], check=True)
    # What the daemon of the exports would answer, told beforehand.
    for address in clients:
        _tell("auth.unix.ip", f"nfsd {address} {_FOR_EVER} {_CLIENTS}")
    _tell("nfsd.export", f"{_CLIENTS} {EXPORT} {_FOR_EVER} {_OPTIONS} 65534 65534 0")
    _tell("nfsd.fh", f"{_CLIENTS} {_BY_NUMBER} {_NUMBER} {_FOR_EVER} {EXPORT}")
    for name, value in {
        "nfsv4recoverydir": _RECOVERY,
        "nfsv4leasetime": _GRACE,
        "nfsv4gracetime": _GRACE,
        "versions": "-2 -3 +4 +4.1 +4.2",
        "threads": 4,
        "v4_end_grace": "Y",
    }.items():
        (_NFSD / name).write_text(f"{value}\n")


def _tell(cache: str, line: str) -> None:
    with (_CACHES / cache / "channel").open("w") as channel:
        channel.write(f"{line}\n")


def main(modules: Path, arguments: Path) -> None:
    """Serve, run the program, and print its exit code."""
    for module in ("nfsd", "nfsv4", "veth"):
        load_module(module, modules)
    serve(ADDRESSES)
    command = [sys.executable, *json.loads(arguments.read_text())]
    done = subprocess.run(command, env={**os.environ, IN_GUEST: "1"}, check=False)
    print(f"{LAST_LINE}{done.returncode}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
