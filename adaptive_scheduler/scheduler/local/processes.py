"""The processes of a job: which they are, and signals that reach no others.

The kernel gives a process's number to another one later. So a process is
known by its number, the moment it began and the machine's start before that,
and a signal is sent only to the process that was meant.
"""

from __future__ import annotations

import errno
import os
import signal
from collections import defaultdict
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

#: In the environment of each process of a job: a word that no other job has.
MARK = "ADAPTIVE_SCHEDULER_LOCAL_MARK"
#: In the environment of the daemon and the supervisors. A job may be the first to
#: need a daemon; the daemon is then its child, but not a part of it.
NOT_OF_A_JOB = "ADAPTIVE_SCHEDULER_LOCAL_DAEMON"

_PROC = Path("/proc")
_BOOT_ID = _PROC / "sys/kernel/random/boot_id"
#: What `pidfd_open` and `pidfd_send_signal` answer on kernels before 5.3 and in some sandboxes.
_NO_PIDFD = frozenset({errno.ENOSYS, errno.EPERM, errno.EINVAL})


class Process(NamedTuple):
    """One process, never to be mistaken for a later one with the same number."""

    pid: int
    #: When it began, in clock ticks since the machine was started.
    began: int
    #: Which start of the machine that was.
    boot: str


class _Stat(NamedTuple):
    state: str
    parent: int
    began: int


def identify(pid: int) -> Process | None:
    """Return the process that has the number `pid` now."""
    stat = _read_stat(pid)
    return stat and Process(pid, stat.began, boot_id())


def is_alive(process: Process) -> bool:
    """Return whether `process` still runs. One that nobody has reaped yet does not."""
    stat = _read_stat(process.pid)
    return stat is not None and _is(process, stat) and stat.state not in "ZX"


def watch(process: Process) -> int | None:
    """Return a descriptor that becomes readable when `process` ends.

    None if the kernel has no such thing (before Linux 5.3).

    Raises
    ------
    ProcessLookupError
        If the process is gone.
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError as error:
        if error.errno not in _NO_PIDFD:
            raise
        return None
    stat = _read_stat(process.pid)
    if stat is None or not _is(process, stat):
        os.close(descriptor)
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    return descriptor


def send_signal(process: Process, *signals: signal.Signals) -> None:
    """Send signals to `process`, and to no other that may have got its number since."""
    with suppress(ProcessLookupError, PermissionError):
        descriptor = watch(process)
        if descriptor is None:
            for signum in signals:
                if is_alive(process):
                    os.kill(process.pid, signum)
            return
        try:
            for signum in signals:
                signal.pidfd_send_signal(descriptor, signum)
        finally:
            os.close(descriptor)


def job_processes(mark: str, *, ancestor: int) -> list[Process]:
    """Return the living processes of a job.

    Those are the descendants of the process `ancestor`, and all others that
    carry the job's mark, wherever they have gone.
    """
    stats = {pid: stat for pid in _pids() if (stat := _read_stat(pid)) is not None}
    children = defaultdict(list)
    for pid, stat in stats.items():
        children[stat.parent].append(pid)
    found = set()
    to_visit = list(children[ancestor])
    while to_visit:
        pid = to_visit.pop()
        if not _has(pid, NOT_OF_A_JOB.encode() + b"="):
            found.add(pid)
            to_visit += children[pid]
    marked = f"{MARK}={mark}".encode() + b"\0"
    found |= {pid for pid in stats.keys() - found if _has(pid, marked)}
    found -= {ancestor}
    living = [pid for pid in found if stats[pid].state not in "ZX"]
    return [Process(pid, stats[pid].began, boot_id()) for pid in living]


def handle_signals_as_new() -> None:
    """Let each signal do what it does in a new program, whatever was inherited."""
    for signum in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


@cache
def boot_id() -> str:
    """Return a word for the machine's last start; sandboxes may not have any."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _is(process: Process, stat: _Stat) -> bool:
    return (process.began, process.boot) == (stat.began, boot_id())


def _pids() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def _read_stat(pid: int) -> _Stat | None:
    try:
        # The second field is the program's name; it may hold spaces and brackets.
        fields = _PROC.joinpath(str(pid), "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return _Stat(fields[0].decode(), int(fields[1]), int(fields[19])) if fields else None


def _has(pid: int, variable: bytes) -> bool:
    """Return whether the environment of process `pid` has an entry that begins so."""
    try:
        environment = _PROC.joinpath(str(pid), "environ").read_bytes()
    except OSError:
        return False
    return b"\0" + variable in b"\0" + environment
