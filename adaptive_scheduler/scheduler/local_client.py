"""How `Local` reaches its daemon, and starts one where there is none."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler.local_processes import MARK, NOT_OF_A_JOB
from adaptive_scheduler.scheduler.local_socket import Message, exchange
from adaptive_scheduler.scheduler.local_spool import SPOOL_VARIABLE, Spool

#: Seconds that the daemon has for an answer.
ANSWER_TIMEOUT = 10.0
#: Seconds that a daemon may take to start; a loaded machine is slow.
START_TIMEOUT = 30.0
#: How often to ask when daemons go away in the middle of it.
_TRIES = 5
_LOCK_PAUSE = 0.02
#: Without the site's and the user's packages: quick, and safe from what they change.
_DAEMON = ("-S", "-P", "-m", "adaptive_scheduler.scheduler.local_daemon")
_PACKAGE_PARENT = Path(__file__).parents[2]


def ask(spool: Spool, question: Message) -> Message:
    """Return the daemon's answer.

    A question may reach the daemon more than once; handling it twice must do
    no harm.

    Raises
    ------
    SchedulerUnavailableError
        If there is no answer, or if the daemon could not do it.
    """
    try:
        answer = _ask(spool, question)
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


def _ask(spool: Spool, question: Message) -> Message:
    for _ in range(_TRIES):
        try:
            answer = exchange(spool, question, time.monotonic() + ANSWER_TIMEOUT)
        except (ConnectionRefusedError, FileNotFoundError):
            _start_daemon(spool)
        except ConnectionError:
            continue  # it went away; what it did is in its journal
        else:
            if not answer.get("outdated"):
                return answer
    raise SchedulerUnavailableError(
        f"The daemon of Local went away {_TRIES} times without an answer; see {spool.log}."
    )


def _start_daemon(spool: Spool) -> None:
    with _only_one(spool):
        try:
            exchange(spool, {"do": "ends", "job_ids": []}, time.monotonic() + ANSWER_TIMEOUT)
        except (ConnectionError, FileNotFoundError):
            pass
        else:
            return  # somebody else has started it
        environment = {name: value for name, value in os.environ.items() if name != MARK}
        environment |= {NOT_OF_A_JOB: "1", "PYTHONPATH": str(_PACKAGE_PARENT)}
        try:
            done = subprocess.run(
                [sys.executable, *_DAEMON, str(spool.folder)],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=START_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError from error
    if done.returncode:
        raise SchedulerUnavailableError(
            f"The daemon of Local could not start in {spool.folder}:\n{done.stderr}\n{_way_out()}"
        )


@contextmanager
def _only_one(spool: Spool) -> Iterator[None]:
    """Wait until no other process starts a daemon for this spool."""
    deadline = time.monotonic() + START_TIMEOUT
    descriptor = os.open(spool.starting, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError from None
                time.sleep(_LOCK_PAUSE)
        yield
    finally:
        os.close(descriptor)


def _no_answer(spool: Spool) -> str:
    try:
        pid = spool.lock.read_text()
    except OSError:
        pid = "?"
    return (
        f"The daemon of Local (process {pid}, folder {spool.folder}) does not answer. If it was "
        f"stopped, `kill -CONT {pid}` lets it go on. `kill -KILL {pid}` is safe, too: jobs run "
        "on, and the next call starts another daemon."
    )


def _way_out() -> str:
    return f"Make room or rights there, or name another folder in the variable {SPOOL_VARIABLE}."
