"""The life of a job: learners one after another, until none is left or it must end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from adaptive_scheduler.client_support.attempt import AttemptRun, Interrupt
from adaptive_scheduler.client_support.job_log import (
    add_log_file_handler,
    add_log_stream_handler,
    log,
    note,
)
from adaptive_scheduler.client_support.manager_client import ManagerClient, newest_spec
from adaptive_scheduler.client_support.place import Place, PlaceGoneError
from adaptive_scheduler.executors import open_workers
from adaptive_scheduler.learners.pack import Pack
from adaptive_scheduler.protocol.messages import Failed, JobIdentity
from adaptive_scheduler.run_folder.functions import Functions
from adaptive_scheduler.run_folder.journal import read_beginning
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.run_folder.spec import RunSpec

if TYPE_CHECKING:
    from adaptive_scheduler.executors import WorkerLayout

#: Signals by which schedulers tell a job that its end is near.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """What the command line of a job says."""

    run_folder: Path
    run_id: str
    job_id: str
    number: int
    restarts: int
    layout: WorkerLayout


async def run_job(options: JobOptions) -> int:
    """Run learners until none is left, and return the exit code.

    The code is 0 unless the last attempt has failed. A job that finds another run in its
    folder, since its own was moved or begun anew, does nothing.
    """
    pack = Pack(RunFolder.at(options.run_folder).pack)
    pack.extend_sys_path()  # goal and arguments, too, may refer to the user's modules
    spec = read_spec(options.run_folder)
    run_id = _run_id(spec.run_folder.journal) or options.run_id
    if options.run_id and run_id != options.run_id:
        sys.stderr.write(
            f"'{options.run_folder}' holds run {run_id} by now, and this is a job of run "
            f"{options.run_id}, which was moved, renamed or begun anew: it ends.\n"
        )
        return 0
    place = Place(options.run_folder)
    job = JobIdentity(options.job_id, options.restarts)
    manager = ManagerClient(options.run_folder, spec, job, options.number, len(pack), place=place)
    handler = _open_log(spec.run_folder.log_of(manager.job_name, options.job_id))
    interrupted = _handle_signals()
    note("started", job_id=options.job_id, restarts=options.restarts, job_name=manager.job_name)
    workers = open_workers(options.layout, spec.loky_start_method)
    workers.on_first_result = _note_start_up
    start_folder = Path.cwd()
    exit_code = 0
    try:
        while not interrupted.done() and (attempt := await manager.next_attempt()) is not None:
            note("begins", learner=attempt.learner, attempt=attempt.number)
            _return_to(start_folder)
            spec = newest_spec(options.run_folder, spec, read_spec)
            run = AttemptRun(
                pack,
                attempt,
                manager,
                spec,
                workers=workers,
                place=place,
                run_id=run_id,
                interrupted=interrupted,
            )
            exit_code = await _run_attempt(run, manager)
            await asyncio.to_thread(place.check)  # else the next learner would be lost, too
        note("ends", reason=interrupted.result().reason if interrupted.done() else "nothing left")
    except PlaceGoneError as error:
        note("ends", reason=str(error))
    except Exception:  # also where users look, and not only on stderr
        log.exception("the job itself failed")
        raise
    finally:
        workers.close()
        manager.close()
        place.close()
        # While the loop runs, no further signal ends this process before its workers.
        await asyncio.to_thread(workers.join)
        handler.close()
    return exit_code


async def _run_attempt(run: AttemptRun, manager: ManagerClient) -> int:
    report = await run.run()
    if report is None:
        return 0
    note("reports", learner=report.attempt.learner, report=type(report).__name__.lower())
    await manager.report(report)
    if isinstance(report, Failed):
        with contextlib.suppress(OSError):  # the disk is full, and the journal has it, too
            sys.stderr.write(f"{report.traceback or report.error}\n")
        return 1
    return 0


def _run_id(journal: Path) -> str:
    """Return the id of the run; raise `RunFolderError` if its journal is of another version."""
    try:
        beginning = read_beginning(journal)
    except OSError as error:  # the manager may answer all the same
        note("the journal can't be read", level=logging.WARNING, error=str(error))
        return ""
    return "" if beginning is None else beginning.run_id


def read_spec(run_folder: Path) -> RunSpec:
    """Read what a run is, with the functions that its jobs need.

    Raises
    ------
    RunFolderError
        If there is no run, or it can't be read.
    UnpicklableError
        If a function can't be loaded here.
    """
    spec = RunSpec.read(run_folder)
    return Functions.read(spec.run_folder.functions).complete(spec, of="jobs")


def _return_to(folder: Path) -> None:
    """Undo what the last learner's code did to the working directory: the next may read there."""
    try:
        os.chdir(folder)
    except OSError as error:
        note("can't return to the working directory", level=logging.WARNING, error=str(error))


def _open_log(path: Path) -> logging.Handler:
    """Open the log; where that can't be done the job goes on, and logs to its output."""
    try:
        return add_log_file_handler(path)
    except OSError as error:
        handler = add_log_stream_handler(sys.stderr)
        note("the log can't be written", level=logging.ERROR, error=str(error))
        return handler


def _note_start_up() -> None:
    """Log how long it took from the start of the job's process to its first result."""
    seconds = time.time() - psutil.Process().create_time()
    note("first result", start_up_time=round(seconds, 2))


def _handle_signals() -> asyncio.Future[Interrupt]:
    """Return a future that resolves at the first signal that announces the end."""
    loop = asyncio.get_running_loop()
    interrupted: asyncio.Future[Interrupt] = loop.create_future()

    def interrupt(number: signal.Signals) -> None:
        if not interrupted.done():
            note("told to end", signal=number.name)
            interrupted.set_result(Interrupt(f"The job got {number.name}."))

    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupt, number)
    return interrupted
