"""Steers a run from another process than its manager's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from adaptive_scheduler.errors import AdaptiveSchedulerError, RunFolderLockedError
from adaptive_scheduler.protocol import messages
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import Journal
from adaptive_scheduler.run_folder.lock import RunFolderLock
from adaptive_scheduler.run_folder.retrying import to_retry
from adaptive_scheduler.server_support.remote import OutsideView, ask_manager, asker, look_at
from adaptive_scheduler.server_support.takeover import take_lock

#: What to say where nobody manages a run.
_ATTACH = "Manage it: `adaptive-scheduler attach`, in another shell."


def steer_from_outside(
    root: str | Path, wish: messages.Wish, learners: Sequence[int] | None = None
) -> str:
    """Pause, resume or retry a run, or cancel some learners, and return what was done.

    A living manager is asked to do it. Where there is none, it is written down for the next.

    Parameters
    ----------
    root
        The run folder.
    wish
        What is to be done.
    learners
        Which are meant; all of them if not given.

    Raises
    ------
    AdaptiveSchedulerError
        If that can't be done.
    RunFolderError
        If there is no run.
    ConnectionLostError
        If a manager lives and does not answer.
    """
    view = look_at(root)
    if view.state.ended is not None:
        raise AdaptiveSchedulerError(
            f"The run is {view.state.ended}: there is nothing to {wish}. "
            "`adaptive-scheduler attach --again` goes on with it."
        )
    lock = RunFolderLock(view.folder)
    try:
        take_lock(lock, view.folder)
    except RunFolderLockedError:
        return _ask(look_at(root), wish, learners)
    try:
        return _write_down(look_at(root), wish, learners)
    finally:
        lock.release()


def _ask(view: OutsideView, wish: messages.Wish, learners: Sequence[int] | None) -> str:
    meant = None if learners is None else tuple(learners)
    answer = ask_manager(view, messages.Steer(asker(), wish, meant))
    if not isinstance(answer, messages.Steered) or answer.is_refused:
        words = answer.words if isinstance(answer, messages.Steered) else "It does not know how."
        raise AdaptiveSchedulerError(f"The manager of the run ({view.holder}) refuses: {words}")
    return f"Said to the manager of the run ({view.holder}). {answer.words}"


def _write_down(view: OutsideView, wish: messages.Wish, learners: Sequence[int] | None) -> str:
    now, state = time.time(), view.state
    _check(learners, len(state.learners))
    records: list[events.AnyRecord] = []
    match wish:
        case "pause" | "resume":
            if state.is_paused != (wish == "pause"):
                records = [events.Paused(time=now) if wish == "pause" else events.Resumed(time=now)]
            words = "It is paused." if wish == "pause" else "It is not paused any more."
        case "retry":
            records = [events.Retried(time=now, learner=i) for i in to_retry(state, learners)]
            words = f"Learners to be tried again: {len(records)}."
        case "cancel":
            raise AdaptiveSchedulerError(
                f"Nobody manages the run, so that only the whole of it can be cancelled. {_ATTACH}"
            )
    journal = Journal(view.folder.journal)
    try:
        for record in records:
            journal.append(record)
        journal.flush()
    finally:
        journal.close()
    return f"{words} Nobody manages the run now. {_ATTACH}"


def _check(learners: Sequence[int] | None, n_learners: int) -> None:
    for index in learners or ():
        if index not in range(n_learners):
            raise AdaptiveSchedulerError(
                f"The run has learners 0 to {n_learners - 1}, and no learner {index}."
            )
