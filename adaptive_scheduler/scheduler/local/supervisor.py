"""The supervisor of one job: a process that starts it, waits for it, and ends all of it.

The daemon forks one for each job. It needs the daemon no more after that: if
the daemon is killed, jobs still meet their time limits, leave no processes
behind and have their end written down.
"""

from __future__ import annotations

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
from adaptive_scheduler.scheduler.local.spool import write_status

#: Seconds, at most, between SIGTERM and SIGKILL for what is left when a job ends by itself.
LEFTOVER_WAIT = 5.0
#: Characters; each may take 12 bytes of a block of the job's file.
_MAX_REASON = 300

#: Signals that a supervisor waits for. All others that could end it are blocked.
_AWAITED = (signal.SIGCHLD, signal.SIGTERM)
_BLOCKED = (*_AWAITED, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
#: Seconds between two looks at processes that are told to end: first, and at most.
_PAUSES = (0.02, 1.0)
_SUPERVISOR_KILLED = "the supervisor of the job was killed"
_PR_SET_CHILD_SUBREAPER = 36
_STDERR = 2


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """How a job is started.

    Attributes
    ----------
    time
        Seconds that the job may run; None for as long as it likes.
    """

    script: str
    output: str
    workdir: str
    environment: dict[str, str]
    umask: int
    affinity: list[int]
    time: float | None


def fork_supervisor(supervisor: Supervisor, spec: JobSpec | None) -> tuple[Process, int]:
    """Start a process for `supervisor`; return it, and where it waits for a byte.

    Until the byte comes it does nothing; if the descriptor is closed before,
    it goes away. So a job is never started without being recorded first.

    Parameters
    ----------
    supervisor
        What works in the process.
    spec
        How to start the job. None to end what is left of it, its supervisor having been killed.
    """
    wait_for, go = os.pipe()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    try:
        pid = os.fork()
        if pid == 0:
            _live_as(supervisor, spec, wait_for)
    except BaseException:  # raised again; nobody else would close it
        os.close(go)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(wait_for)
    process = identify(pid)
    if process is None:  # /proc is not there, or hides our own processes
        os.close(go)
        raise OSError("The folder /proc does not show this user's processes")
    return process, go


def _live_as(supervisor: Supervisor, spec: JobSpec | None, wait_for: int) -> NoReturn:
    exit_code = 1
    try:
        os.setsid()
        _close_all_but(supervisor.job_file, wait_for)
        if os.read(wait_for, 1):
            os.close(wait_for)
            if spec:
                supervisor.run(spec)
            else:
                supervisor.end_leftovers()
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


class Supervisor:
    """Looks after one job from its start until its last process is gone.

    Parameters
    ----------
    mark
        A word in the environment of the job's processes that no other job has.
    kill_wait
        Seconds between SIGTERM and SIGKILL.
    job_file
        Descriptor of the file in which the job's status is written.
    """

    def __init__(self, mark: str, kill_wait: float, job_file: int) -> None:
        self.job_file = job_file
        self._mark = mark
        self._kill_wait = kill_wait
        self._leftover_wait = min(LEFTOVER_WAIT, kill_wait)
        self._main = 0
        self._wait_status: int | None = None
        #: Whether all processes of the job are this one's children, or below them.
        self._has_all = False

    def run(self, spec: JobSpec) -> None:
        """Run the job to its end."""
        self._has_all = _adopt_orphans()
        try:
            self._start(spec)
        except OSError as error:
            self._write("FAILED", reason=f"could not be started: {error}")
            return
        cause = self._wait_for_main(spec.time)
        self._write("COMPLETING", reason=cause)
        self._end_everything(self._kill_wait if cause else self._leftover_wait)
        self._write_end(cause)

    def end_leftovers(self) -> None:
        """End what is left of a job whose supervisor was killed."""
        self._write("COMPLETING", reason=_SUPERVISOR_KILLED)
        self._end_everything(self._leftover_wait)
        self._write("FAILED", reason=_SUPERVISOR_KILLED)

    def _start(self, spec: JobSpec) -> None:
        os.umask(spec.umask)
        os.chdir(spec.workdir)
        Path(spec.output).parent.mkdir(parents=True, exist_ok=True)
        output = os.open(spec.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        self._main = os.fork()
        if self._main == 0:
            _become_the_job(spec, self._mark, output)
        os.close(output)

    def _wait_for_main(self, limit: float | None) -> str:
        """Wait until the job's first process ends; return why it must end, if it must."""
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
        return job_processes(self._mark, ancestor=os.getpid())

    def _write_end(self, cause: str) -> None:
        code = os.waitstatus_to_exitcode(self._wait_status or 0)
        if code < 0:
            self._write(cause or "FAILED", reason=f"killed by {_signal_name(-code)}")
        else:
            self._write(cause or ("FAILED" if code else "COMPLETED"), exit_code=code)

    def _write(self, state: str, *, exit_code: int | None = None, reason: str = "") -> None:
        status = {"state": state, "exit_code": exit_code, "reason": reason[:_MAX_REASON]}
        write_status(self.job_file, status)


def _signal_name(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"


def _become_the_job(spec: JobSpec, mark: str, output: int) -> NoReturn:
    try:
        os.setsid()
        # The cores may have been taken from this machine since the submission.
        with suppress(OSError):
            os.sched_setaffinity(0, spec.affinity)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, standard in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(descriptor, standard)
        handle_signals_as_new()
        environment = spec.environment | {MARK: mark}
        os.execvpe("bash", ["bash", spec.script], environment)  # noqa: S606  the user's own
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
