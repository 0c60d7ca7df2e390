"""How `Local` reaches its daemon, and starts one where there is none."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from adaptive_scheduler._common.user_warning import warn_user
from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler.local.processes import MARK, NOT_OF_A_JOB
from adaptive_scheduler.scheduler.local.spool import (
    PROTOCOL,
    SPOOL_VARIABLE,
    Message,
    Spool,
    older_jobs,
)

#: Seconds that a daemon may take to start; a loaded machine is slow.
_START_TIMEOUT = 30.0
#: Seconds until the question is asked again when the daemon goes away in the middle of it.
_PAUSES = (0.02, 0.1, 0.5, 1.0, 2.0)
_CHUNK = 1 << 18
#: Without the site's and the user's packages: quick, and safe from what they change.
_DAEMON = ("-S", "-P", "-X", "utf8", "-m", "adaptive_scheduler.scheduler.local.daemon")
_PACKAGE_PARENT = Path(__file__).parents[3]


def ask(spool: Spool, question: Message, *, timeout: float) -> Message:
    """Return the daemon's answer; start a daemon if there is none.

    A question may reach the daemon more than once; handling it twice must do
    no harm.

    Parameters
    ----------
    spool
        The folder of the daemon.
    question
        What to do (``"do"``), and with what.
    timeout
        Seconds that the daemon has for an answer.

    Raises
    ------
    SchedulerUnavailableError
        If there is no answer, or if the daemon could not do it.
    """
    try:
        answer = _ask(spool, question, timeout)
    except TimeoutError as error:
        raise SchedulerUnavailableError(_no_answer(spool)) from error
    except OSError as error:
        raise SchedulerUnavailableError(
            f"Local can't work in its folder {spool.folder}: {error}. {_way_out()}"
        ) from error
    if "error" in answer:
        raise SchedulerUnavailableError(
            f"Local could not {question['do']}: {answer['error']} "
            f"(its folder is {spool.folder}). {_way_out()}"
        )
    return answer


def ask_if_used(spool: Spool, question: Message, *, timeout: float) -> Message:
    """As `ask`, but {} if no job was ever submitted: then there is nothing to know."""
    if spool.database.exists():
        return ask(spool, question, timeout=timeout)
    _warn_of_older_jobs(spool)
    return {}


def exchange(spool: Spool, question: Message, *, timeout: float) -> Message:
    """Say `question` to the daemon that there is, and return what it says.

    It does nothing about a question that it reads after `timeout` seconds.

    Raises
    ------
    ConnectionRefusedError, FileNotFoundError
        If there is no daemon.
    ConnectionError
        If it went away before it had said all.
    TimeoutError
        If it did not answer in time.
    """
    deadline = time.monotonic() + timeout
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        with spool.socket_address() as address:
            try:
                connection.connect(address)
            except BlockingIOError as error:
                raise TimeoutError("too many are waiting for an answer") from error
        text = json.dumps({"protocol": PROTOCOL, "deadline": deadline} | question)
        connection.sendall(text.encode())
        connection.shutdown(socket.SHUT_WR)
        received = bytearray()
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            connection.settimeout(remaining)
            if chunk := connection.recv(_CHUNK):
                received += chunk
                continue
            try:
                return dict(json.loads(received))
            except ValueError as error:
                raise ConnectionAbortedError("the answer was cut off") from error


def _ask(spool: Spool, question: Message, timeout: float) -> Message:
    for pause in _PAUSES:
        try:
            answer = exchange(spool, question, timeout=timeout)
        except (ConnectionRefusedError, FileNotFoundError):
            _start_daemon(spool)
        except ConnectionError:
            time.sleep(pause)  # it went away; what it did is in its database
        else:
            if not answer.get("outdated"):
                return answer
            time.sleep(pause)
    raise SchedulerUnavailableError(
        f"The daemon of Local (process {_daemon(spool)}) can't be reached, nor can another one "
        f"take its place. {spool.log} may say why. If {spool.folder} is shared with another "
        f"machine, name a folder for this one in the variable {SPOOL_VARIABLE}."
    )


def _start_daemon(spool: Spool) -> None:
    """Return when there is a daemon, be it one that somebody else has started."""
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    environment |= {NOT_OF_A_JOB: "1", "PYTHONPATH": str(_PACKAGE_PARENT)}
    try:
        done = subprocess.run(
            [sys.executable, *_DAEMON, str(spool.folder)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_START_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
    if done.returncode:
        raise SchedulerUnavailableError(
            f"The daemon of Local could not start in {spool.folder}:\n{done.stderr}\n{_way_out()}"
        )
    if done.stderr:
        warn_user(done.stderr.strip())
    _warn_of_older_jobs(spool)


def _warn_of_older_jobs(spool: Spool) -> None:
    """Say that there are jobs which an earlier version of this package has started."""
    for folder, n_jobs in older_jobs(spool).items():
        path = shlex.quote(str(folder))
        warn_user(
            f"{n_jobs} jobs of an earlier version of adaptive_scheduler are in {folder}. They go "
            "on as before and save their data, but this version neither lists nor cancels them, "
            "and it does not count the cores that they use. Wait for them; or end them, and this "
            f"warning, with `pkill -f {path}; rm -r {path}`: they save first."
        )


def _no_answer(spool: Spool) -> str:
    daemon = _daemon(spool)
    pid = daemon.split()[0]
    return (
        f"The daemon of Local (process {daemon}, folder {spool.folder}) does not answer. If it "
        f"was stopped, `kill -CONT {pid}` lets it go on. `kill -KILL {pid}` is safe, too: jobs "
        "run on, and the next call starts another daemon."
    )


def _daemon(spool: Spool) -> str:
    with suppress(OSError):
        return spool.daemon.read_text().strip() or "?"
    return "?"


def _way_out() -> str:
    return f"Make room or rights there, or name another folder in the variable {SPOOL_VARIABLE}."
