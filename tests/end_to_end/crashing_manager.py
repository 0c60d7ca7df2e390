"""Managers that die at a given step of what they write, without warning.

``python -m tests.end_to_end.crashing_manager`` reads orders, one JSON object a line, forks a
manager for each (all imports are paid for once), and tells how it ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adaptive

from adaptive_scheduler import RunManager
from adaptive_scheduler.scheduler import PBS, BaseScheduler, Local
from adaptive_scheduler.server_support import restore
from tests.end_to_end.ledger import Noted
from tests.end_to_end.schedulers import Played
from tests.waiting import PATIENCE

N_LEARNERS = 4
#: Of each learner whose points are noted.
N_POINTS = 6
#: The step after the last.
END = "after the end"


class Death:
    """Kills this process at the step with a given number; 0 spares it.

    Parameters
    ----------
    at
        The number of the step, counted from 1, or its name.
    steps
        The file that gets the names of the steps, one a line.
    """

    def __init__(self, at: int | str, steps: Path) -> None:
        self._at = at
        self._steps = steps.open("a", buffering=1)
        self._n = 0
        self._lock = threading.Lock()

    def is_due(self, step: str) -> bool:
        """Whether this is the step. Then no other thread takes a step any more."""
        self._lock.acquire()
        self._n += 1
        self._steps.write(f"{step}\n")
        if self._at in (self._n, step):
            return True
        self._lock.release()
        return False

    def come(self) -> None:
        """Kill this process."""
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()

    def may_come(self, step: str) -> None:
        """Kill this process if this is the step."""
        if self.is_due(step):
            self.come()


class Crashing(BaseScheduler):
    """Takes jobs, and the manager may die before or after."""

    def __init__(self, death: Death, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._death: Death | None = death

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_death": None}

    def submit(self, batch):
        """Submit, and die, in either order."""
        self._death.may_come("before the submission")
        job_ids = super().submit(batch)
        self._death.may_come("after the submission")
        return job_ids


class CrashingQueue(Crashing, Played):
    """Its jobs are played."""


class CrashingPBS(Crashing, PBS):
    """Its jobs run, and the manager may die after each look at them, too."""

    min_poll_interval = 0.2
    _n_looks = 0

    def queue(self, *, me_only=True):
        """Look, and die."""
        jobs = super().queue(me_only=me_only)
        self._n_looks += 1
        self._death.may_come(f"after look {self._n_looks}")
        return jobs


class CrashingLocal(Crashing, Local):
    """Its jobs run, on this machine."""


def make_scheduler(kind: str, death: Death, folder: Path) -> Crashing:
    """Return a scheduler whose jobs are "played", or run on "pbs" or "local"."""
    if kind == "pbs":
        return CrashingPBS(death, cores=1, executor_type="sequential")
    if kind == "local":
        return CrashingLocal(death, cores=1, max_cores=2, executor_type="sequential")
    return CrashingQueue(death, folder / "queue", max_cores=N_LEARNERS)


def beset(death: Death, folder: Path) -> None:
    """Let death come at whatever this process does to the files in `folder`."""
    os.write = _mortal_write(death, folder, os.write)
    os.fsync = _mortal_fsync(death, folder, os.fsync)
    os.replace = _mortal_change(death, folder, os.replace, "replaced")
    os.unlink = _mortal_change(death, folder, os.unlink, "deleted")


def _name_of(fd: int, folder: Path) -> str:
    """Return the name of an open file; empty if it is not in `folder`."""
    path = Path(f"/proc/self/fd/{fd}").readlink()
    return path.name if path.is_relative_to(folder) else ""


def _mortal_write(death: Death, folder: Path, write: Callable[..., int]) -> Callable[..., int]:
    def call(fd: int, data: Any) -> int:
        name = _name_of(fd, folder)
        if name and death.is_due(f"in the middle of {name}"):
            write(fd, bytes(data)[: len(data) // 2])
            death.come()
        return write(fd, data)

    return call


def _mortal_fsync(death: Death, folder: Path, fsync: Callable[..., None]) -> Callable[..., None]:
    def call(fd: int) -> None:
        name = _name_of(fd, folder)
        if name:
            death.may_come(f"before {name} is on disk")
        fsync(fd)
        if name:
            death.may_come(f"when {name} is on disk")

    return call


def _mortal_change(
    death: Death, folder: Path, change: Callable[..., None], word: str
) -> Callable[..., None]:
    def call(path: Any, *arguments: Any, **keywords: Any) -> None:
        is_meant = Path(path).is_relative_to(folder)
        name = Path(arguments[0] if arguments else path).name
        if is_meant:
            death.may_come(f"before {name} is {word}")
        change(path, *arguments, **keywords)
        if is_meant:
            death.may_come(f"when {name} is {word}")

    return call


def make_learners(folder: Path, *, are_noted: bool) -> list[adaptive.SequenceLearner]:
    """Return the learners; where their points are noted, they wait at a gate for the last ones."""
    if not are_noted:
        return [adaptive.SequenceLearner(abs, [i]) for i in range(N_LEARNERS)]
    functions = [
        Noted(folder / "ledger", i, free=N_POINTS // 2, gate=folder / "gate")
        for i in range(N_LEARNERS)
    ]
    return [adaptive.SequenceLearner(function, list(range(N_POINTS))) for function in functions]


def make_run(scheduler: Crashing, folder: Path) -> RunManager:
    """Return the run that all of these managers manage."""
    learners = make_learners(folder, are_noted=not isinstance(scheduler, CrashingQueue))
    return RunManager(
        scheduler,
        learners,
        [str(folder / "data" / f"{i}.pickle") for i in range(N_LEARNERS)],
        job_name="run",
        folder=folder / "run",
        max_simultaneous_jobs=2,
        job_manager_interval=1,
        quiet=True,
    )


def manage(folder: Path, die_at: int | str, *, compacts: bool, jobs: str) -> None:
    """Manage the run in `folder` until it is over, or death comes."""
    os.chdir(folder)
    death = Death(die_at, folder / "steps")
    beset(death, folder / "run")
    if compacts:
        restore._COMPACT_ABOVE = restore._COMPACT_LINES_PER_LEARNER = 0
    run = make_run(make_scheduler(jobs, death, folder), folder)
    run.start()
    run.wait(timeout=PATIENCE)
    death.may_come(END)


def _fork_and_tell(order: dict[str, Any]) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            with (Path(order["folder"]) / "errors").open("a") as errors:
                os.dup2(errors.fileno(), 2)
            folder = Path(order.pop("folder"))
            manage(folder, **order)
            os._exit(0)
        finally:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    line = {"folder": order["folder"], "code": os.waitstatus_to_exitcode(status)}
    os.write(1, json.dumps(line).encode() + b"\n")


def main() -> None:
    """Serve orders until there are none."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the children
    for line in sys.stdin:
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _fork_and_tell(json.loads(line))
            os._exit(0)


if __name__ == "__main__":
    main()
