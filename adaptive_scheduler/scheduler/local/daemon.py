"""The daemon of `Local`: starts jobs while cores are free, and answers questions.

Run as ``python -m adaptive_scheduler.scheduler.local.daemon FOLDER``. It is
started when it is needed and goes away when there is nothing left to do.
When it is killed, the jobs and their supervisors run on, and the next daemon
finds them in the spool.

A question is one JSON text, up to the end of what the client sends; so is the
answer.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from adaptive_scheduler.scheduler.local.database import Batch, Database
from adaptive_scheduler.scheduler.local.jobs import TROUBLE, LocalJobs
from adaptive_scheduler.scheduler.local.processes import handle_signals_as_new
from adaptive_scheduler.scheduler.local.spool import PROTOCOL, Message, Spool

#: Seconds that a daemon with nothing to do waits for more.
_IDLE_TIMEOUT = 5.0
#: Seconds until something that failed (no space, no process) is tried again.
_RETRY_INTERVAL = 1.0
#: Seconds between looks whether the folder is still there.
_FOLDER_CHECK_INTERVAL = 60.0
#: Seconds that a client may take to ask its question and to hear the answer.
_CLIENT_TIMEOUT = 60.0
#: As many clients may wait until the daemon turns to them.
_BACKLOG = 128


class Daemon:
    """Serves one spool, in a running event loop.

    Parameters
    ----------
    spool
        Its folder; the caller holds the lock.
    database
        What is in it.
    """

    def __init__(self, spool: Spool, database: Database) -> None:
        loop = asyncio.get_running_loop()
        self._spool = spool
        self._database = database
        self._folder = spool.folder.stat()
        self._wake = asyncio.Event()
        self._jobs = LocalJobs(
            spool,
            database,
            wake_on=lambda descriptor: loop.add_reader(descriptor, self._wake.set),
            forget=loop.remove_reader,
        )
        self._n_clients = 0
        self._is_outdated = False
        self._damage: sqlite3.DatabaseError | None = None
        self._last_busy = time.monotonic()

    async def listen(self) -> None:
        """Be reached at the spool's socket from now on."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        (self._spool.folder / "socket").unlink(missing_ok=True)
        with self._spool.socket_address() as address:
            listener.bind(address)
        await asyncio.start_unix_server(self._answer_client, sock=listener, backlog=_BACKLOG)

    async def serve(self) -> None:
        """Work until nothing has been left to do for a while.

        Raises
        ------
        sqlite3.DatabaseError
            If the database is damaged. The next daemon begins another one.
        """
        while not self._may_exit():
            if self._damage:
                raise self._damage
            if self._is_folder_gone():
                # Nobody can ask for these jobs any more, or cancel them.
                self._jobs.end_all()
                return
            self._wake.clear()
            self._jobs.collect_ends()
            self._jobs.start_pending()
            _reap()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._pause())

    def _may_exit(self) -> bool:
        if self._n_clients or not self._database.is_empty:
            self._last_busy = time.monotonic()
        if self._is_outdated:
            return not self._n_clients
        return time.monotonic() - self._last_busy >= _IDLE_TIMEOUT

    def _pause(self) -> float:
        """Return after how many seconds to look again although nothing has happened."""
        if self._jobs.must_poll:
            return _RETRY_INTERVAL
        if self._database.is_empty:
            return max(0.0, _IDLE_TIMEOUT - (time.monotonic() - self._last_busy))
        return _FOLDER_CHECK_INTERVAL

    def _is_folder_gone(self) -> bool:
        """Return whether somebody has removed the spool."""
        try:
            return not os.path.samestat(self._folder, self._spool.folder.stat())
        except FileNotFoundError:
            return True

    # Clients.

    async def _answer_client(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._n_clients += 1
        try:
            # Clients that don't go on, having been stopped perhaps, are left.
            async with asyncio.timeout(_CLIENT_TIMEOUT):
                if question := await reader.read():
                    writer.write(json.dumps(self._reply(question)).encode())
                    self._wake.set()
                    writer.close()
                    await writer.wait_closed()
        except (TimeoutError, ConnectionError):
            pass  # there is nobody to tell
        except sqlite3.DatabaseError as error:
            self._damage = error  # the client asks the next daemon
        finally:
            writer.transport.abort()
            self._n_clients -= 1
            self._wake.set()

    def _reply(self, text: bytes) -> Message:
        try:
            question = dict(json.loads(text))
        except (TypeError, ValueError):
            return {"error": "the question was cut off"}
        if question.get("protocol", PROTOCOL) != PROTOCOL:
            # The client starts a daemon of its own version, which takes the jobs over.
            self._is_outdated = True
            return {"outdated": True}
        answers: dict[str, Callable[[Message], Message]] = {
            "submit": self._submit,
            "queue": lambda _: {"groups": self._jobs.queue()},
            "cancel": self._cancel,
            "ends": lambda question: {"ends": self._database.ends(question["job_ids"])},
        }
        try:
            if time.monotonic() > question["deadline"]:
                return {"error": "the question came too late"}  # nobody waits for the answer
            # No answer may show a job that is gone as alive.
            self._jobs.collect_ends()
            return answers[question["do"]](question)
        except TROUBLE as error:
            return {"error": str(error)}
        except (AttributeError, KeyError, TypeError, ValueError):
            traceback.print_exc()
            return {"error": "the daemon does not understand the question"}

    def _submit(self, question: Message) -> Message:
        batch = Batch(**question["batch"])
        batch.shown["submitted"] = time.time()
        key, numbers = question["idempotency_key"], question["numbers"]
        return {"batch": self._database.submit(key, numbers, batch)}

    def _cancel(self, question: Message) -> Message:
        self._jobs.cancel(question["job_ids"])
        return {}


def _reap() -> None:
    """Let the kernel forget the supervisors that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main(arguments: list[str]) -> int:
    """Serve the spool in the folder ``arguments[0]``, in the background.

    Returns when the daemon can be reached, or when another one is there. What
    it has to say until then goes to the standard error output.
    """
    os.umask(0o077)
    spool = Spool(Path(arguments[0]))
    # Wait for others that start one, until it can be reached or they have failed.
    starting = os.open(spool.starting, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(starting, fcntl.LOCK_EX)
    # A lock on the folder also keeps the system from clearing it out.
    lock = os.open(spool.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    wait_for, ready = os.pipe()
    if os.fork():
        os.close(ready)
        return 0 if os.read(wait_for, 1) else 1
    os.close(wait_for)
    os.close(starting)  # locked while the process lives that returns above
    os.setsid()
    os.chdir("/")
    handle_signals_as_new()
    for signum in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    asyncio.run(_serve(spool, ready))
    return 0


async def _serve(spool: Spool, ready: int) -> None:
    try:
        log = os.open(spool.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        database = Database(spool.database)
        daemon = Daemon(spool, database)
        await daemon.listen()
    except (OSError, sqlite3.Error) as error:
        sys.exit(str(error))
    with suppress(OSError):  # only people read it
        spool.daemon.write_text(f"{os.getpid()} on {socket.gethostname()}\n")
    if database.damaged:
        message = (
            f"The file in which Local kept its jobs was damaged. It is kept as {database.damaged}. "
            "Jobs that run were taken over; those that waited are lost, and submitted again by "
            "the runs that they are of.\n"
        )
        sys.stderr.write(message)  # to whoever has started this
        os.write(log, message.encode(errors="surrogateescape"))
    os.write(ready, b"!")
    os.close(ready)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for descriptor, standard in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, standard)
    await daemon.serve()
    database.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
