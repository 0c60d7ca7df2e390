"""The daemon of `Local`: starts jobs while cores are free, and answers questions.

Run as ``python -m adaptive_scheduler.scheduler.local_daemon FOLDER``. It is
started when it is needed and goes away when there is nothing left to do.
When it is killed, the jobs and their keepers run on, and the next daemon
finds them in the journal.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import sys
import time
from collections import defaultdict
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler.scheduler.local_keeper import Order, fork_keeper
from adaptive_scheduler.scheduler.local_processes import is_alive, send_signal, watch
from adaptive_scheduler.scheduler.local_socket import VERSION, Conversation, listen
from adaptive_scheduler.scheduler.local_spool import Journal, Spool
from adaptive_scheduler.scheduler.local_state import (
    JobKey,
    LocalBatch,
    LocalState,
    RunningJob,
    ended,
    started_as,
    submitted,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from adaptive_scheduler.scheduler.local_socket import Message
    from adaptive_scheduler.scheduler.local_spool import Record

#: Seconds that a daemon with nothing to do waits for more.
LINGER = 5.0
#: Seconds until something that failed (no space, no process) is tried again.
_RETRY = 1.0
#: Records after which the journal is rewritten, without those that don't count any more.
_MAX_OLD_RECORDS = 20_000
_WAITING = "waiting for cores"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Daemon:
    """Serves one spool.

    Parameters
    ----------
    spool
        Its folder; the caller holds the lock.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._journal = Journal(spool.journal)
        self._state = LocalState()
        self._boot = ""
        for record in self._journal.replay():
            self._apply(record)
        self._tidy_at = _MAX_OLD_RECORDS
        self._tidy()
        self._remove_strays()
        self._selector = selectors.DefaultSelector()
        self._listener = listen(spool)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        #: Running jobs, with the descriptor that tells when the keeper ends, if there is one.
        self._watched: dict[JobKey, int | None] = {}
        self._conversations: set[Conversation] = set()
        self._trouble = ""
        self._is_outdated = False
        self._idle_since = time.monotonic()

    # The loop.

    def serve(self) -> None:
        """Work until nothing has been left to do for a while."""
        self._adopt()
        while not self._may_go():
            self._start_what_fits()
            happened = [key.data for key, _ in self._selector.select(self._patience())]
            # Ends come first: no answer may show a job that is gone as alive.
            self._note_ends()
            for go_on in happened:
                go_on()
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass

    def _may_go(self) -> bool:
        if self._conversations:
            return False
        if self._is_outdated:
            return True
        if self._state.batches:
            self._idle_since = time.monotonic()
        return time.monotonic() - self._idle_since >= LINGER

    def _patience(self) -> float | None:
        """Return after how many seconds to look again although nothing has happened."""
        if self._trouble or None in self._watched.values():
            return _RETRY
        if self._state.batches:
            return None
        return max(0.0, LINGER - (time.monotonic() - self._idle_since))

    # Records.

    def _record(self, record: Record, *, durable: bool = False) -> None:
        self._journal.append(record, durable=durable)
        self._apply(record)
        self._tidy()

    def _apply(self, record: Record) -> None:
        if record["event"] == "boot":
            self._boot = record["boot"]
        else:
            self._state.apply(record)

    def _tidy(self) -> None:
        """Rewrite the journal when much of it is of no more use."""
        if self._journal.n_records < self._tidy_at:
            return
        records = [{"event": "boot", "boot": self._boot}, *self._state.snapshot()]
        try:
            self._journal.rewrite(records)
        except OSError as error:
            sys.stderr.write(f"The journal could not be rewritten: {error}\n")
        self._tidy_at = self._journal.n_records + _MAX_OLD_RECORDS

    def _remove_strays(self) -> None:
        """Remove files that nothing in the journal speaks of."""
        known = {self._spool.script(batch).name for batch in self._state.batches}
        known |= {self._spool.status(str(key)).name for key in self._state.running}
        for path in self._spool.folder.iterdir():
            if path.suffix in {".sh", ".status"} and path.name not in known:
                path.unlink(missing_ok=True)

    # Jobs.

    def _adopt(self) -> None:
        """Take over the jobs that an earlier daemon has started."""
        boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
        was_restarted = boot != self._boot
        if was_restarted:
            self._record({"event": "boot", "boot": boot})
        for key, job in list(self._state.running.items()):
            if was_restarted and not self._has_final_status(key):
                self._end(key, ended([str(key)], "NODE_FAIL", reason="the machine was restarted"))
            else:
                self._watch(key, job)
        self._note_ends()

    def _watch(self, key: JobKey, job: RunningJob) -> None:
        try:
            descriptor = watch(job.keeper)
        except ProcessLookupError:
            descriptor = None  # `_note_ends` will find that it is gone
        self._watched[key] = descriptor
        if descriptor is not None:
            self._selector.register(descriptor, selectors.EVENT_READ, lambda: None)

    def _start_what_fits(self) -> None:
        self._trouble = ""
        while (key := self._state.next_to_start()) and self._try(key, leftovers_only=False):
            pass

    def _try(self, key: JobKey, *, leftovers_only: bool) -> bool:
        try:
            self._start(key, leftovers_only=leftovers_only)
        except OSError as error:
            self._trouble = f"can't be started now: {error}"
            return False
        return True

    def _start(self, key: JobKey, *, leftovers_only: bool) -> None:
        known = self._state.running.get(key)
        mark = known.mark if known else os.urandom(16).hex()
        status = self._spool.create_status(str(key))
        try:
            order = self._order(key, mark)
            keeper, go = fork_keeper(order, status, leftovers_only=leftovers_only)
        finally:
            os.close(status)
        try:
            self._record(started_as(key, RunningJob(keeper=keeper, mark=mark)))
            os.write(go, b"!")
        finally:
            os.close(go)
        self._watch(key, self._state.running[key])

    def _order(self, key: JobKey, mark: str) -> Order:
        batch = self._state.batches[key.batch].batch
        name = f"{batch.job_name}-{key.number}"
        return Order(
            script=str(self._spool.script(key.batch)),
            output=str(Path(batch.log_folder, f"{name}-{key}.out")),
            workdir=batch.workdir,
            environment=batch.environment
            | {
                "ADAPTIVE_SCHEDULER_LOCAL_JOB_ID": str(key),
                "ADAPTIVE_SCHEDULER_LOCAL_NUMBER": str(key.number),
                "ADAPTIVE_SCHEDULER_LOCAL_JOB_NAME": name,
            },
            umask=batch.umask,
            affinity=batch.affinity,
            mark=mark,
            time=batch.time,
            kill_wait=batch.kill_wait,
        )

    def _note_ends(self) -> None:
        for key in [*self._watched]:
            job = self._state.running[key]
            if is_alive(job.keeper):
                continue
            if self._has_final_status(key):
                self._end(key, ended([str(key)], **self._spool.read_status(str(key))))
                continue
            # The keeper was killed; another one ends what it has left.
            self._unwatch(key)
            if not self._try(key, leftovers_only=True):
                self._watched[key] = None

    def _has_final_status(self, key: JobKey) -> bool:
        return self._spool.read_status(str(key)).get("state") not in (None, "COMPLETING")

    def _end(self, key: JobKey, record: Record) -> None:
        try:
            self._record(record)
        except OSError as error:
            self._trouble = f"can't be recorded now: {error}"
            return
        self._unwatch(key)
        self._spool.status(str(key)).unlink(missing_ok=True)
        self._drop_script(key.batch)

    def _unwatch(self, key: JobKey) -> None:
        descriptor = self._watched.pop(key, None)
        if descriptor is not None:
            self._selector.unregister(descriptor)
            os.close(descriptor)

    def _drop_script(self, batch: int) -> None:
        if batch not in self._state.batches:
            self._spool.script(batch).unlink(missing_ok=True)

    # Questions.

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(0)
        conversation = Conversation(connection, self._answer)
        self._conversations.add(conversation)
        self._selector.register(
            connection, selectors.EVENT_READ, partial(self._go_on, conversation)
        )

    def _go_on(self, conversation: Conversation) -> None:
        connection = conversation.connection
        if not conversation.go_on():
            self._selector.unregister(connection)
            connection.close()
            self._conversations.discard(conversation)
            self._idle_since = time.monotonic()
        elif conversation.is_writing:
            go_on = partial(self._go_on, conversation)
            self._selector.modify(connection, selectors.EVENT_WRITE, go_on)

    def _answer(self, question: Message) -> Message:
        if question.get("version") != VERSION:
            # The client starts a daemon of its own age, which takes the jobs over.
            self._is_outdated = True
            return {"outdated": True}
        if time.monotonic() > question["deadline"]:
            return {"error": "too late: nobody waits for this answer any more"}
        answers: dict[str, Callable[[Message], Message]] = {
            "submit": self._submit,
            "queue": self._queue,
            "cancel": self._cancel,
            "ends": self._ends,
        }
        try:
            return answers[question["do"]](question)
        except OSError as error:
            return {"error": str(error)}

    def _submit(self, question: Message) -> Message:
        batch = LocalBatch.read(question)
        known = self._state.submissions.get(batch.submission)
        if known is not None:
            return {"batch": known}
        number = self._state.next_batch
        script = self._spool.script(number)
        try:
            script.write_bytes(question["script"].encode(errors="surrogateescape"))
            self._record(submitted(number, question["numbers"], batch), durable=True)
        except OSError:
            script.unlink(missing_ok=True)
            raise
        return {"batch": number}

    def _queue(self, _: Message) -> Message:
        running = defaultdict(list)
        for key, job in self._state.running.items():
            status = self._spool.read_status(str(key))
            is_ending = job.ending or bool(status)
            state = "COMPLETING" if is_ending else "RUNNING"
            running[key.batch].append((state, str(status.get("reason", "")), [key.number]))
        groups = []
        for number, live in self._state.batches.items():
            parts = running[number]
            if live.pending:
                parts.append(("PENDING", self._trouble or _WAITING, list(live.pending)))
            groups += [(number, live.batch.job_name, live.batch.token, *part) for part in parts]
        return {"groups": groups}

    def _cancel(self, question: Message) -> Message:
        pending = []
        for job_id in question["job_ids"]:
            key = JobKey.parse(job_id)
            if key is None:
                continue
            if self._state.is_pending(key):
                pending.append(key)
            elif job := self._state.running.get(key):
                job.ending = True
                # A keeper that somebody has stopped goes on, too.
                send_signal(job.keeper, signal.SIGTERM, signal.SIGCONT)
        if pending:
            job_ids = [str(key) for key in pending]
            self._record(ended(job_ids, "CANCELLED", reason="before it was started"))
            for batch in {key.batch for key in pending}:
                self._drop_script(batch)
        return {}

    def _ends(self, question: Message) -> Message:
        known = self._state.ends
        return {"ends": {i: known[i] for i in question["job_ids"] if i in known}}


def main(arguments: list[str]) -> int:
    """Serve the spool in the folder ``arguments[0]``, in the background.

    Returns when the daemon can be reached, or when another one is there.
    """
    spool = Spool(Path(arguments[0]))
    lock = os.open(spool.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    try:
        daemon = Daemon(spool)
        log = os.open(spool.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if os.fork():
        return 0
    _detach(log)
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    daemon.serve()
    return 0


def _detach(log: int) -> None:
    os.setsid()
    os.chdir("/")
    os.umask(0o077)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, standard in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, standard)
    os.close(log)
    os.close(nothing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
