"""The daemon of `Local`: starts jobs while cores are free, and answers questions.

Run as ``python -m adaptive_scheduler.scheduler.local.daemon FOLDER``. It is
started when it is needed and goes away when there is nothing left to do.
When it is killed, the jobs and their keepers run on, and the next daemon
finds them in the journal.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from adaptive_scheduler.scheduler.local.jobs import LocalJobs
from adaptive_scheduler.scheduler.local.processes import handle_signals_as_new
from adaptive_scheduler.scheduler.local.socket import VERSION, Conversation, Message, listen
from adaptive_scheduler.scheduler.local.spool import Spool
from adaptive_scheduler.scheduler.local.state import LocalBatch

#: Seconds that a daemon with nothing to do waits for more.
LINGER = 5.0
#: Seconds until something that failed (no space, no process) is tried again.
_RETRY = 1.0
#: Seconds between looks whether the folder is still there.
_LOOK = 60.0
#: Seconds that a client may take to ask its question and to hear the answer.
_PATIENCE = 60.0


class Daemon:
    """Serves one spool.

    Parameters
    ----------
    spool
        Its folder; the caller holds the lock.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._folder = spool.folder.stat()
        self._selector = selectors.DefaultSelector()
        self._jobs = LocalJobs(spool, self._wake_on, self._selector.unregister)
        #: With the time when each began.
        self._conversations: dict[Conversation, float] = {}
        self._is_outdated = False
        self._busy_at = time.monotonic()
        self._listener = listen(spool)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def serve(self) -> None:
        """Work until nothing has been left to do for a while."""
        self._jobs.adopt()
        while not self._may_go():
            if self._is_homeless():
                # Nobody can ask for these jobs any more, or cancel them.
                self._jobs.give_up()
                return
            self._jobs.start_what_fits()
            happened = [key.data for key, _ in self._selector.select(self._pause())]
            # Ends come first: no answer may show a job that is gone as alive.
            self._jobs.note_ends()
            for go_on in happened:
                go_on()
            self._hang_up()
            _reap()

    def _may_go(self) -> bool:
        if self._conversations or not self._jobs.is_empty:
            self._busy_at = time.monotonic()
        if self._is_outdated:
            return not self._conversations
        return time.monotonic() - self._busy_at >= LINGER

    def _pause(self) -> float:
        """Return after how many seconds to look again although nothing has happened."""
        if self._jobs.must_look_again:
            return _RETRY
        if self._conversations:
            return _PATIENCE
        if self._jobs.is_empty:
            return max(0.0, LINGER - (time.monotonic() - self._busy_at))
        return _LOOK

    def _is_homeless(self) -> bool:
        """Return whether somebody has removed the spool."""
        try:
            return not os.path.samestat(self._folder, self._spool.folder.stat())
        except FileNotFoundError:
            return True

    def _wake_on(self, descriptor: int) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, lambda: None)

    # Conversations.

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(0)
        conversation = Conversation(connection, self._answer)
        self._conversations[conversation] = time.monotonic()
        go_on = partial(self._go_on, conversation)
        self._selector.register(connection, selectors.EVENT_READ, go_on)

    def _go_on(self, conversation: Conversation) -> None:
        if not conversation.go_on():
            self._end(conversation)
        elif conversation.is_writing:
            go_on = partial(self._go_on, conversation)
            self._selector.modify(conversation.connection, selectors.EVENT_WRITE, go_on)

    def _hang_up(self) -> None:
        """End conversations with clients that don't go on, having been stopped perhaps."""
        began_before = time.monotonic() - _PATIENCE
        for conversation, began in [*self._conversations.items()]:
            if began < began_before:
                self._end(conversation)

    def _end(self, conversation: Conversation) -> None:
        self._selector.unregister(conversation.connection)
        conversation.connection.close()
        del self._conversations[conversation]

    def _answer(self, question: Message) -> Message:
        version = question.get("version")
        if isinstance(version, int) and version != VERSION:
            # The client starts a daemon of its own age, which takes the jobs over.
            self._is_outdated = True
            return {"outdated": True}
        answers: dict[str, Callable[[Message], Message]] = {
            "submit": self._submit,
            "queue": lambda _: {"groups": self._jobs.queue()},
            "cancel": self._cancel,
            "ends": lambda question: {"ends": self._jobs.ends(question["job_ids"])},
        }
        try:
            if time.monotonic() > question["deadline"]:
                return {"error": "the question came too late"}  # nobody waits for the answer
            return answers[question["do"]](question)
        except OSError as error:
            return {"error": str(error)}
        except (AttributeError, KeyError, TypeError, ValueError):
            traceback.print_exc()
            return {"error": "the daemon does not understand the question"}

    def _submit(self, question: Message) -> Message:
        batch = LocalBatch.read({**question, "submitted": time.time()})
        return {"batch": self._jobs.submit(question["numbers"], batch)}

    def _cancel(self, question: Message) -> Message:
        self._jobs.cancel(question["job_ids"])
        return {}


def _reap() -> None:
    """Let the kernel forget the keepers that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main(arguments: list[str]) -> int:
    """Serve the spool in the folder ``arguments[0]``, in the background.

    Returns when the daemon can be reached, or when another one is there.
    """
    os.umask(0o077)
    spool = Spool(Path(arguments[0]))
    # A lock on the folder also keeps the system from clearing it out.
    lock = os.open(spool.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    handle_signals_as_new()
    for signum in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    try:
        daemon = Daemon(spool)
        log = os.open(spool.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if pid := os.fork():
        with suppress(OSError):  # only people read it
            spool.daemon.write_text(f"{pid} on {socket.gethostname()}\n")
        return 0
    _detach(log)
    daemon.serve()
    return 0


def _detach(log: int) -> None:
    os.setsid()
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for descriptor, standard in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, standard)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
