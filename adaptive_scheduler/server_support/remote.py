"""Acts on a run from another process: by its manager, or where there is none, by its folder."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler._common.formatting import counted
from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    ConnectionLostError,
    RunFolderLockedError,
)
from adaptive_scheduler.protocol import messages
from adaptive_scheduler.protocol.client import ManagerConnection
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.commands import checked, in_words, records_of
from adaptive_scheduler.run_folder.journal import Journal
from adaptive_scheduler.run_folder.lock import RunFolderLock
from adaptive_scheduler.run_folder.project import Standing
from adaptive_scheduler.scheduler.registry import from_data
from adaptive_scheduler.server_support.folder_view import FolderView
from adaptive_scheduler.server_support.identity import copied_from
from adaptive_scheduler.server_support.ownership import jobs_to_end, owned
from adaptive_scheduler.server_support.planning import jobs_to_cancel
from adaptive_scheduler.server_support.takeover import take_lock

if TYPE_CHECKING:
    from adaptive_scheduler.protocol.messages import Command
    from adaptive_scheduler.scheduler.base import BaseScheduler

#: Seconds that a living manager gets to answer.
_PATIENCE = 10.0
#: What to say where nobody manages a run.
_ATTACH = "Nobody manages the run now. Manage it: `adaptive-scheduler attach`, in another shell."


def open_run(root: str | Path) -> FolderView:
    """Return a run, by its folder, that can be looked at and acted on.

    Raises
    ------
    RunFolderError
        If there is no run.
    """
    return FolderView(root, lambda command, learners: command_run(root, command, learners))


def command_run(
    root: str | Path,
    command: Command,
    learners: Sequence[int] | None = None,
    *,
    moved: bool = False,
) -> str:
    """Pause, resume, retry or cancel a run, or some of its learners, and return what was done.

    A living manager is asked to do it. Where there is none, it is recorded for the next one,
    and the scheduler is asked to end what is cancelled.

    Parameters
    ----------
    root
        The run folder.
    command
        What is to be done.
    learners
        Which are meant; all of them, or the run as a whole, if not given.
    moved
        Whether the run was moved, if its recorded place can't be looked at from here.

    Raises
    ------
    AdaptiveSchedulerError
        If it can't be done, as with a copy of a run that has not been started.
    RunFolderError
        If there is no run; without `moved`, if nobody can know whether it was moved or copied.
    UntrustedFileError
        If another user may have written what says what the run is, or its journal.
    ConnectionLostError
        If a manager lives and does not answer.
    SchedulerError
        If the scheduler could not be asked.
    """
    # Records of another user could name our jobs: nothing is locked, written or asked for them.
    view = FolderView(root, trust=False)
    if view.spec.checked_standing(is_moved=moved) is Standing.COPIED:
        raise AdaptiveSchedulerError(
            f"{copied_from(view.spec)}, and has no jobs of its own: there is nothing "
            f"to {command}. `adaptive-scheduler attach --again` starts it as a run of its own."
        )
    is_end = command == "cancel" and learners is None
    if is_end and view.state.ended == "finished":
        return "The run is finished: there is nothing to cancel."
    if (ended := view.state.ended) is not None and not is_end:
        raise AdaptiveSchedulerError(
            f"The run is {ended}: there is nothing to {command}. "
            "`adaptive-scheduler attach --again` goes on with it."
        )
    if learners is not None:
        learners = checked(learners, view.n_learners, view.info().name)
    lock = RunFolderLock(view.folder)
    try:
        take_lock(lock, view.folder)
    except RunFolderLockedError:
        return _ask_manager(FolderView(root, trust=False), command, learners)
    try:
        return _act_without_manager(FolderView(root, trust=False), command, learners)
    finally:
        lock.release()


def _ask_manager(view: FolderView, command: Command, learners: Sequence[int] | None) -> str:
    me = messages.JobIdentity(f"shell-{socket.gethostname()}-{os.getpid()}")
    if command == "cancel" and learners is None:
        _ask(view, messages.CancelRun(me))
        return f"The manager of the run ({view.holder}) cancels it."
    meant = None if learners is None else tuple(learners)
    answer = _ask(view, messages.CommandRequest(me, command, meant))
    if not isinstance(answer, messages.CommandResult) or answer.is_refused:
        words = (
            answer.words if isinstance(answer, messages.CommandResult) else "It does not know how."
        )
        raise AdaptiveSchedulerError(f"The manager of the run ({view.holder}) refuses: {words}")
    return f"{answer.words} (By the manager of the run, {view.holder}.)"


def _ask(
    view: FolderView, message: messages.CancelRun | messages.CommandRequest
) -> messages.Answer:
    """Ask the living manager of a run for something, and return its answer."""

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


def _act_without_manager(view: FolderView, command: Command, learners: Sequence[int] | None) -> str:
    """Do what a manager would, as far as that can be done in one step."""
    now = time.time()
    if command == "cancel" and learners is None:
        n_jobs = _cancel_all_jobs(view)
        _append(view, [events.RunEnded(time=now, status="cancelled")])
        verb = "is" if n_jobs == 1 else "are"
        return f"{counted(n_jobs, 'job')} {verb} being cancelled. {in_words('cancel')}"
    records = records_of(command, view.state, learners, now)
    if command != "cancel":
        _append(view, records)
    else:
        scheduler = from_data(view.spec.scheduler)  # fails here for a class of the user's own
        _append(view, records)
        for record in records:
            view.state.apply(record)
        _cancel_unwanted_jobs(view, scheduler, now)
    n_learners = len(records) if command in ("retry", "cancel") else None
    return f"{in_words(command, n_learners)} {_ATTACH}"


def _cancel_all_jobs(view: FolderView) -> int:
    scheduler = from_data(view.spec.scheduler)
    jobs = jobs_to_end(view.state, scheduler.queue())
    if jobs:
        scheduler.cancel_ids(sorted(jobs))
    return len(jobs)


def _cancel_unwanted_jobs(view: FolderView, scheduler: BaseScheduler, now: float) -> None:
    """Have jobs end that are there for cancelled learners."""
    ours = owned(view.state, scheduler.queue())
    started = {job_id for job_id, seen in ours.items() if seen["running"]}
    if ids := [job_id for job_id in jobs_to_cancel(view.state, started) if job_id in ours]:
        _append(view, [events.JobsCancelled(time=now, job_ids=ids)])
        scheduler.cancel_ids(ids)


def _append(view: FolderView, records: Iterable[events.AnyRecord]) -> None:
    journal = Journal(view.folder.journal)
    try:
        for record in records:
            journal.append(record)
        journal.flush()
    finally:
        journal.close()
