"""How `Local` reaches its daemon, and starts one where there is none."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler.local.processes import MARK, NOT_OF_A_JOB
from adaptive_scheduler.scheduler.local.socket import Message, exchange
from adaptive_scheduler.scheduler.local.spool import SPOOL_VARIABLE, Spool

#: Seconds that the daemon has for an answer.
ANSWER_TIMEOUT = 10.0
#: Seconds that a daemon may take to start; a loaded machine is slow.
START_TIMEOUT = 30.0
#: Seconds until the question is asked again when the daemon goes away in the middle of it.
_PAUSES = (0.02, 0.1, 0.5, 1.0, 2.0)
_LOCK_PAUSE = 0.02
#: Without the site's and the user's packages: quick, and safe from what they change.
_DAEMON = ("-S", "-P", "-X", "utf8", "-m", "adaptive_scheduler.scheduler.local.daemon")
_PACKAGE_PARENT = Path(__file__).parents[3]


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
    for pause in _PAUSES:
        try:
            answer = exchange(spool, question, time.monotonic() + ANSWER_TIMEOUT)
        except (ConnectionRefusedError, FileNotFoundError):
            _start_daemon(spool)
        except ConnectionError:
            time.sleep(pause)  # it went away; what it did is in its journal
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
