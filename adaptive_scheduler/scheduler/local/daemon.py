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
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from adaptive_scheduler.scheduler.local.database import Batch, Database, JobKey
from adaptive_scheduler.scheduler.local.processes import (
    Process,
    boot_id,
    handle_signals_as_new,
    is_alive,
    send_signal,
    watch,
)
from adaptive_scheduler.scheduler.local.spool import PROTOCOL, Message, Spool, write_record
from adaptive_scheduler.scheduler.local.supervisor import (
    JobSpec,
    Supervisor,
    fork_supervisor,
)

#: What passes: no space, no processes, no descriptors. The work is tried again later.
TROUBLE = (OSError, sqlite3.OperationalError)

_WAITING = "waiting for cores"


@dataclass
class _Running:
    """A job that was started.

    Attributes
    ----------
    supervisor
        None if nobody knows any more which process it was.
    descriptor
        Becomes readable when the supervisor ends; None if it has to be looked at now and then.
    """

    cores: int
    supervisor: Process | None
    descriptor: int | None = None
    is_told_to_end: bool = False

    def tell_to_end(self) -> None:
        self.is_told_to_end = True
        if self.supervisor:
            # One that somebody has stopped goes on, too.
            send_signal(self.supervisor, signal.SIGTERM, signal.SIGCONT)


class LocalJobs:
    """All jobs of one spool. There is one of these at a time, in the daemon.

    Parameters
    ----------
    spool, database
        Where they are kept.
    wake_on, forget
        Called with a descriptor that becomes readable when a job's supervisor
        ends, and again when it is of no more use.
    """

    def __init__(
        self,
        spool: Spool,
        database: Database,
        wake_on: Callable[[int], None],
        forget: Callable[[int], object],
    ) -> None:
        self._spool = spool
        self._database = database
        self._wake_on = wake_on
        self._forget = forget
        self._running: dict[JobKey, _Running] = {}
        #: Why something could not be done; it is tried again.
        self._trouble = ""
        self._adopt()

    @property
    def must_poll(self) -> bool:
        """Whether there is something to do of which no descriptor will tell."""
        unwatched = any(job.descriptor is None for job in self._running.values())
        return bool(self._trouble) or unwatched

    # What the loop calls.

    def collect_ends(self) -> None:
        """Record the ends of jobs whose supervisors have ended."""
        for key, job in [*self._running.items()]:
            if job.supervisor and is_alive(job.supervisor):
                continue
            self._unwatch(job)
            status = self._spool.read_status(str(key))
            try:
                if status.get("state") not in (None, "COMPLETING"):
                    self._end(key, **status)
                elif job.supervisor and job.supervisor.boot != boot_id():
                    self._end(key, "NODE_FAIL", reason="the machine was restarted")
                else:
                    self._end_leftovers(key)
            except TROUBLE as error:
                self._trouble = f"can't be brought to an end now: {error}"

    def start_pending(self) -> None:
        """Start jobs in their order until one has to wait for cores.

        The others wait behind it; so a large job is not passed by small ones for ever.
        """
        self._trouble = ""
        try:
            while job := self._database.next_pending():
                key, cores, max_cores = job
                if cores + sum(job.cores for job in self._running.values()) > max_cores:
                    return
                self._start(key)
        except TROUBLE as error:
            self._trouble = f"can't be started now: {error}"

    def end_all(self) -> None:
        """Tell all jobs to end; their supervisors see to it that they do."""
        for job in self._running.values():
            job.tell_to_end()

    # What users ask for.

    def queue(self) -> list[tuple[Any, ...]]:
        """Return what there is: batch, what the queue shows of it, state, reason, numbers."""
        parts = defaultdict(list)
        for key, job in self._running.items():
            status = self._spool.read_status(str(key))
            state = "COMPLETING" if job.is_told_to_end or status else "RUNNING"
            parts[key.batch].append((state, str(status.get("reason", "")), [key.number]))
        waiting = groupby(self._database.jobs(running=False), lambda key: key.batch)
        for batch, keys in waiting:
            numbers = [key.number for key in keys]
            parts[batch].append(("PENDING", self._trouble or _WAITING, numbers))
        batches = self._database.batches().items()
        return [(batch, shown, *part) for batch, shown in batches for part in parts[batch]]

    def cancel(self, job_ids: Iterable[str]) -> None:
        """End jobs, those that run and those that don't yet.

        Raises
        ------
        sqlite3.OperationalError
            If this can't be recorded. Jobs that wait then go on waiting.
        """
        keys = [key for job_id in job_ids if (key := JobKey.parse(job_id))]
        for key in keys:
            if job := self._running.get(key):
                job.tell_to_end()
        if waiting := [key for key in keys if self._database.is_pending(key)]:
            self._database.end(waiting, "CANCELLED", reason="before it was started")
            for batch in {key.batch for key in waiting}:
                self._drop_script(batch)

    # Starts and ends.

    def _adopt(self) -> None:
        """Take over the jobs that an earlier daemon has started.

        A running job of which the database knows nothing, since it was
        damaged, is known by its file.
        """
        for job_id in self._spool.job_files():
            key, record = JobKey.parse(job_id), self._spool.read_record(job_id)
            if key and record and not self._database.knows(key):
                common = (record["cores"], record["cores"], record["kill_wait"], record["shown"])
                self._database.adopt(key, Batch(*common, launch={}))
        running = self._database.jobs(running=True)
        self._remove_strays(running)
        for key in running:
            supervisor = self._spool.read_record(str(key)).get("supervisor")
            cores = self._database.batch(key.batch).cores
            self._watch(key, cores, Process(*supervisor) if supervisor else None)

    def _remove_strays(self, running: Iterable[JobKey]) -> None:
        """Remove files of jobs that don't run. Scripts, if not whole, are written again."""
        needed = {self._spool.script(key.batch) for key in running}
        needed |= {self._spool.job_file(str(key)) for key in running}
        for path in self._spool.folder.iterdir():
            if path.suffix in {".sh", ".job"} and path not in needed:
                path.unlink(missing_ok=True)

    def _start(self, key: JobKey) -> None:
        """Start a job that waits, or leave it waiting if that fails."""
        batch = self._database.batch(key.batch)
        launch = dict(batch.launch)
        self._spool.write_script(key.batch, launch.pop("script"))
        name = f"{batch.shown['job_name']}-{key.number}"
        identity = {
            "ADAPTIVE_SCHEDULER_LOCAL_JOB_ID": str(key),
            "ADAPTIVE_SCHEDULER_LOCAL_NUMBER": str(key.number),
            "ADAPTIVE_SCHEDULER_LOCAL_JOB_NAME": name,
        }
        spec = JobSpec(
            script=str(self._spool.script(key.batch)),
            output=str(Path(launch.pop("log_folder"), f"{name}-{key}.out")),
            environment=launch.pop("environment") | identity,
            **launch,
        )
        self._supervise(key, batch, spec)

    def _end_leftovers(self, key: JobKey) -> None:
        """Replace a supervisor that was killed by one that ends what it has left."""
        self._supervise(key, self._database.batch(key.batch), None)

    def _supervise(self, key: JobKey, batch: Batch, spec: JobSpec | None) -> None:
        job_file = self._spool.create_job_file(str(key))
        try:
            supervisor = Supervisor(self._spool.mark(str(key)), batch.kill_wait, job_file)
            process, go = fork_supervisor(supervisor, spec)
            try:
                shared = {"cores": batch.cores, "kill_wait": batch.kill_wait, "shown": batch.shown}
                write_record(job_file, shared | {"supervisor": process})
                self._database.start(key)
                self._watch(key, batch.cores, process)
                with suppress(BrokenPipeError):  # killed already: seen like a later kill
                    os.write(go, b"!")
            finally:
                os.close(go)
        finally:
            os.close(job_file)

    def _end(self, key: JobKey, state: str, exit_code: int | None = None, reason: str = "") -> None:
        self._database.end([key], state, exit_code, reason)
        del self._running[key]
        self._spool.job_file(str(key)).unlink(missing_ok=True)
        self._drop_script(key.batch)

    def _drop_script(self, batch: int) -> None:
        if not self._database.has_batch(batch):
            self._spool.script(batch).unlink(missing_ok=True)

    def _watch(self, key: JobKey, cores: int, supervisor: Process | None) -> None:
        job = self._running[key] = _Running(cores, supervisor)
        if supervisor:
            with suppress(OSError):  # it is gone, or there are no more descriptors
                job.descriptor = watch(supervisor)
        if job.descriptor is not None:
            self._wake_on(job.descriptor)

    def _unwatch(self, job: _Running) -> None:
        if job.descriptor is not None:
            self._forget(job.descriptor)
            os.close(job.descriptor)
            job.descriptor = None


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
