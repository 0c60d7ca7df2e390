"""Who may manage a run after a manager that did not let go of it."""

from __future__ import annotations

import os
import socket

from adaptive_scheduler.errors import RunFolderLockedError
from adaptive_scheduler.protocol import messages
from adaptive_scheduler.protocol.client import ManagerConnection
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.run_folder.lock import Holder, RunFolderLock, read_holder
from adaptive_scheduler.server_support.event_loop import event_loop

#: Seconds that a manager gets to say that it lives.
_PATIENCE = 5.0


def take_lock(
    lock: RunFolderLock, folder: RunFolder, *, take_over: bool = False, is_copy: bool = False
) -> None:
    """Take the lock of a run folder, if nobody who lives manages the run. Blocks.

    Of a process on this host, the kernel knows. Some file systems don't tell
    one host of the locks of another, so a manager there is asked itself: where
    nothing listens any more, it is dead; where there is no answer, nobody can know.

    Parameters
    ----------
    lock, folder
        What is to be taken.
    take_over
        Whether a manager on a host that can't be asked counts as dead.
    is_copy
        Whether the folder was copied: then the last holder that it names is the original's.

    Raises
    ------
    RunFolderLockedError
        If a manager lives, or may live.
    """

    def may_follow(previous: Holder) -> bool:
        if is_copy or _is_here(previous):
            return True
        lives = _lives(folder)
        return not lives and (lives is not None or take_over)

    try:
        lock.acquire(may_follow=may_follow)
    except RunFolderLockedError:
        holder = read_holder(folder)
        if not take_over or holder is None or _is_here(holder) or _lives(folder):
            raise
        lock.take_from_the_dead()


def _is_here(holder: Holder) -> bool:
    return holder.host == socket.gethostname()


def _lives(folder: RunFolder) -> bool | None:
    """Whether a manager on another host lives; None if it can't be asked."""

    async def ask() -> bool | None:
        connection = ManagerConnection(folder.connection)
        try:
            if await connection.is_refused():
                return False
            me = messages.JobIdentity(f"successor-{socket.gethostname()}-{os.getpid()}")
            answer = await connection.request(messages.Ping(me), patience=_PATIENCE)
            return None if answer is None else True
        finally:
            connection.close()

    return event_loop.run(ask())
