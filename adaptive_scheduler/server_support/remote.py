"""A run as another process sees it: by its folder."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cloudpickle

from adaptive_scheduler.errors import ConnectionLostError, RunFolderLockedError
from adaptive_scheduler.protocol import messages
from adaptive_scheduler.protocol.client import ManagerConnection
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import Journal, read_beginning, read_journal
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.run_folder.lock import Holder, RunFolderLock, living_holder
from adaptive_scheduler.run_folder.settings import JobSettings
from adaptive_scheduler.run_folder.state import RunState
from adaptive_scheduler.server_support.ownership import jobs_to_end
from adaptive_scheduler.server_support.takeover import take_lock

if TYPE_CHECKING:
    from adaptive_scheduler.scheduler.base import BaseScheduler

#: Seconds that a living manager gets to answer.
_PATIENCE = 10.0


@dataclass(frozen=True)
class OutsideView:
    """What the folder of a run says.

    Attributes
    ----------
    folder
        Where everything lies.
    settings
        How jobs run their learners.
    state
        What the manager has written down.
    holder
        The manager that has the folder; None if none lives.
    """

    folder: RunFolder
    settings: JobSettings
    state: RunState
    holder: Holder | None

    @property
    def status(self) -> str:
        """How the run is, in a word."""
        if self.state.ended is not None:
            return self.state.ended
        return "running" if self.holder is not None else "left alone"

    @property
    def n_jobs(self) -> int:
        """How many jobs are in the queue, as far as the manager has written down."""
        return 0 if self.state.ended is not None else len(self.state.jobs)


def look_at(root: str | Path) -> OutsideView:
    """Read the folder of a run; nothing is changed.

    Raises
    ------
    RunFolderError
        If there is no run.
    """
    settings = JobSettings.from_file(Path(root).expanduser().absolute() / "settings.pickle")
    folder = RunFolder.at(root, logs=settings.log_folder, journal=settings.journal)
    beginning = read_beginning(folder.journal)
    n_learners = 0 if beginning is None else beginning.n_learners
    state = RunState(
        [0] * n_learners, dependencies=settings.dependencies, max_fails=settings.max_fails
    )
    for record in read_journal(folder.journal):
        state.apply(record)
    return OutsideView(folder, settings, state, living_holder(folder))


def cancel_from_outside(root: str | Path) -> str:
    """Cancel a run and its jobs, and return what was done.

    A living manager is asked to do it; where there is none, the scheduler is.

    Raises
    ------
    RunFolderError
        If there is no run.
    ConnectionLostError
        If a manager lives and does not answer.
    SchedulerError
        If the scheduler could not be asked.
    """
    view = look_at(root)
    if view.state.ended == "finished":
        return "The run is finished: there is nothing to cancel."
    lock = RunFolderLock(view.folder)
    try:
        take_lock(lock, view.folder)
    except RunFolderLockedError:
        view = look_at(root)
        ask_manager(view, messages.CancelRun(asker()))
        return f"The manager of the run ({view.holder}) cancels it."
    try:
        return _cancel_jobs(look_at(root))
    finally:
        lock.release()


def asker() -> messages.JobIdentity:
    """Return what this process calls itself when it asks a manager."""
    return messages.JobIdentity(f"shell-{socket.gethostname()}-{os.getpid()}")


def ask_manager(view: OutsideView, message: messages.CancelRun | messages.Steer) -> messages.Answer:
    """Ask the living manager of a run for something, and return its answer.

    Raises
    ------
    ConnectionLostError
        If it does not answer.
    """

    async def ask() -> messages.Answer | None:
        connection = ManagerConnection(view.folder.connection)
        try:
            return await connection.request(message, patience=_PATIENCE)
        finally:
            connection.close()

    answer = asyncio.run(ask())
    if answer is None:
        raise ConnectionLostError(
            f"The run is managed by {view.holder}, which does not answer. End that process, and "
            "then say it again."
        )
    return answer


def _cancel_jobs(view: OutsideView) -> str:
    scheduler: BaseScheduler = cloudpickle.loads(view.settings.scheduler)
    state = view.state
    jobs = jobs_to_end(state, scheduler.queue())
    if jobs:
        scheduler.cancel_ids(sorted(jobs))
    journal = Journal(view.folder.journal)
    try:
        journal.append(events.RunEnded(time=time.time(), status="cancelled"))
        journal.flush()
    finally:
        journal.close()
    return f"{len(jobs)} jobs are being cancelled; nobody manages the run."
