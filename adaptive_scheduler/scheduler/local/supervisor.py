"""The keeper of one job: a process that starts it, waits for it, and ends all of it.

The daemon forks one for each job. It needs the daemon no more after that: if
the daemon is killed, jobs still meet their time limits, leave no processes
behind and have their end written down.
"""

from __future__ import annotations

import json
import os
import signal
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from adaptive_scheduler.scheduler.local.processes import (
    MARK,
    Process,
    handle_signals_as_new,
    identify,
    job_processes,
    send_signal,
)

#: Seconds, at most, between SIGTERM and SIGKILL for what is left when a job ends by itself.
LEFTOVER_WAIT = 5.0
#: Bytes of a job's status. They are written before the job starts, and later
#: only overwritten: a full disk can't lose the end of a job.
STATUS_SIZE = 4096
_MAX_REASON = 400

#: Signals that a keeper waits for. All others that could end it are blocked.
_AWAITED = (signal.SIGCHLD, signal.SIGTERM)
_BLOCKED = (*_AWAITED, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
#: Seconds between two looks at processes that are told to end: first, and at most.
_PAUSES = (0.02, 1.0)
_KEEPER_KILLED = "the process that kept the job was killed"
_PR_SET_CHILD_SUBREAPER = 36
_STDERR = 2


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a keeper has to know about its job.

    Attributes
    ----------
    mark
        A word that no other job has.
    time
        Seconds that the job may run; None for as long as it likes.
    kill_wait
        Seconds between SIGTERM and SIGKILL.
    """

    script: str
    output: str
    workdir: str
    environment: dict[str, str]
    umask: int
    affinity: list[int]
    mark: str
    time: float | None
    kill_wait: float


def fork_keeper(order: Order, status: int, *, leftovers_only: bool = False) -> tuple[Process, int]:
    """Start a keeper and return it, with the descriptor on which it waits for a byte.

    Until the byte comes it does nothing; if the descriptor is closed before,
    it goes away. So a job is never started without being recorded first.

    Parameters
    ----------
    order
        What to do.
    status
        Descriptor of the job's status, `STATUS_SIZE` bytes.
    leftovers_only
        Don't start the job; end what is left of it, its keeper having been killed.
    """
    wait_for, go = os.pipe()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    try:
        pid = os.fork()
        if pid == 0:
            _live_as_keeper(order, status, wait_for, leftovers_only=leftovers_only)
    except BaseException:  # raised again; nobody else would close it
        os.close(go)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(wait_for)
    keeper = identify(pid)
    if keeper is None:  # /proc is not there, or hides our own processes
        os.close(go)
        raise OSError("The folder /proc does not show this user's processes")
    return keeper, go


def _live_as_keeper(order: Order, status: int, wait_for: int, *, leftovers_only: bool) -> NoReturn:
    exit_code = 1
    try:
        os.setsid()
        _close_all_but(status, wait_for)
        if os.read(wait_for, 1):
            os.close(wait_for)
            Keeper(order, status).keep(leftovers_only=leftovers_only)
        exit_code = 0
    except BaseException:  # noqa: BLE001  a fork must not go on with its parent's program
        traceback.print_exc()
    finally:
        os._exit(exit_code)


def _close_all_but(*kept: int) -> None:
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if descriptor > _STDERR and descriptor not in kept:
            with suppress(OSError):
                os.close(descriptor)


class Keeper:
    """Keeps one job from its start until its last process is gone."""

    def __init__(self, order: Order, status: int) -> None:
        self._order = order
        self._status = status
        self._main = 0
        self._wait_status: int | None = None
        #: Whether all processes of the job are this one's children, or below them.
        self._has_all = False
        self._leftover_wait = min(LEFTOVER_WAIT, order.kill_wait)

    def keep(self, *, leftovers_only: bool) -> None:
        """Run the job, or what is left of it, to its end."""
        if leftovers_only:
            self._write("COMPLETING", reason=_KEEPER_KILLED)
            self._end_everything(self._leftover_wait)
            self._write("FAILED", reason=_KEEPER_KILLED)
            return
        self._has_all = _adopt_orphans()
        try:
            self._start()
        except OSError as error:
            self._write("FAILED", reason=f"could not be started: {error}")
            return
        cause = self._wait_for_main()
        self._write("COMPLETING", reason=cause)
        self._end_everything(self._order.kill_wait if cause else self._leftover_wait)
        self._write_end(cause)

    def _start(self) -> None:
        order = self._order
        os.umask(order.umask)
        os.chdir(order.workdir)
        Path(order.output).parent.mkdir(parents=True, exist_ok=True)
        output = os.open(order.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        self._main = os.fork()
        if self._main == 0:
            _become_the_job(order, output)
        os.close(output)

    def _wait_for_main(self) -> str:
        """Wait until the job's first process ends; return why it must end, if it must."""
        limit = self._order.time
        deadline = None if limit is None else time.monotonic() + limit
        while self._wait_status is None:
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                return "TIMEOUT"
            if self._pause(remaining) == signal.SIGTERM:
                return "CANCELLED"
        return ""

    def _pause(self, seconds: float | None) -> int | None:
        """Wait for a signal, and take note of children that have ended."""
        if seconds is None:
            signum: int | None = signal.sigwait(_AWAITED)
        else:
            info = signal.sigtimedwait(_AWAITED, seconds)
            signum = None if info is None else info.si_signo
        self._reap()
        return signum

    def _reap(self) -> bool:
        """Take note of children that have ended; return whether any are left."""
        try:
            while True:
                pid, wait_status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
                if pid == self._main:
                    self._wait_status = wait_status
        except ChildProcessError:
            return False

    def _end_everything(self, grace: float) -> None:
        """Ask all processes of the job to end; kill those that have not after `grace` seconds."""
        self._signal_all(signal.SIGTERM, signal.SIGCONT)
        deadline = time.monotonic() + grace
        first, longest = _PAUSES
        pause = first
        while self._processes():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                # Processes that appear while we look are killed the next time.
                self._signal_all(signal.SIGKILL)
                remaining = longest
            self._pause(min(pause, remaining))
            pause = min(2 * pause, longest)

    def _signal_all(self, *signals: signal.Signals) -> None:
        for process in self._processes():
            send_signal(process, *signals)

    def _processes(self) -> list[Process]:
        """Return what lives of the job."""
        if not self._reap() and self._has_all:
            return []
        # A process that forks and ends while we look can escape one look, not two.
        found = set(self._look()) or set(self._look())
        if self._main and self._wait_status is None and (main := identify(self._main)):
            # Between fork and exec its environment does not show yet whose it is.
            found.add(main)
        return list(found)

    def _look(self) -> list[Process]:
        return job_processes(self._order.mark, ancestor=os.getpid())

    def _write_end(self, cause: str) -> None:
        code = os.waitstatus_to_exitcode(self._wait_status or 0)
        if code < 0:
            self._write(cause or "FAILED", reason=f"killed by {_signal_name(-code)}")
        else:
            self._write(cause or ("FAILED" if code else "COMPLETED"), exit_code=code)

    def _write(self, state: str, *, exit_code: int | None = None, reason: str = "") -> None:
        status = {"state": state, "exit_code": exit_code, "reason": reason[:_MAX_REASON]}
        os.pwrite(self._status, json.dumps(status).encode().ljust(STATUS_SIZE), 0)


def _signal_name(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"


def _become_the_job(order: Order, output: int) -> NoReturn:
    try:
        os.setsid()
        # The cores may have been taken from this machine since the submission.
        with suppress(OSError):
            os.sched_setaffinity(0, order.affinity)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, standard in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(descriptor, standard)
        handle_signals_as_new()
        environment = order.environment | {MARK: order.mark}
        os.execvpe("bash", ["bash", order.script], environment)  # noqa: S606  the user's own
    except OSError as error:
        os.write(output, f"The job's script could not be started: {error}\n".encode())
    finally:
        os._exit(127)


def _adopt_orphans() -> bool:
    """Become the parent of all descendants whose parents end; return whether that can be.

    Where it can't, the mark in their environment still finds them.
    """
    try:
        import ctypes  # not in every Python

        return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False
