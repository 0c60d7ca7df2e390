"""For programs of the user's own that run in a job instead of ``run_learner``.

They get a learner, run it as they like, log how it does, and tell when it is
done::

    learner, fname, initializer = get_learner(url, log_fname, job_id, job_name)
    npoints_start = learner.npoints
    runner = adaptive.Runner(learner, goal=goal)
    log_info(runner, interval=60)
    await runner.task
    log_now(runner, npoints_start)
    learner.save(fname)
    tell_done(url, fname)
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.client_support.figures import Usage, runner_figures
from adaptive_scheduler.client_support.job_log import note_fields
from adaptive_scheduler.client_support.manager_client import hello
from adaptive_scheduler.errors import ConnectionLostError, InvalidInputError
from adaptive_scheduler.learners.pack import Pack
from adaptive_scheduler.learners.paths import Project
from adaptive_scheduler.learners.storage import DataFiles, warn_of_writers
from adaptive_scheduler.protocol import curve, messages
from adaptive_scheduler.protocol.client import ManagerConnection
from adaptive_scheduler.run_folder.layout import RunFolder

if TYPE_CHECKING:
    from adaptive import AsyncRunner, BaseLearner

#: Seconds that the manager gets to answer.
_PATIENCE = 60.0
#: Where `get_learner` leaves for `tell_done` who this job is.
_JOB_ID = "ADAPTIVE_SCHEDULER_JOB_ID"
_JOB_NAME = "ADAPTIVE_SCHEDULER_JOB_NAME"


def get_learner(
    url: str | Path, log_fname: str, job_id: str, job_name: str
) -> tuple[BaseLearner, str | list[str], Callable[[], None] | None]:
    """Ask the manager for a learner, and load its data.

    Parameters
    ----------
    url
        The run folder; or an address of the manager, whose run folder is then
        looked for in the working directory.
    log_fname
        Where this job logs.
    job_id, job_name
        Who it is. The name ends in ``-`` and its number.

    Returns
    -------
    learner, fname, initializer
        The learner with its data, where that is saved, and what every worker
        is to call first.

    Raises
    ------
    ConnectionLostError
        If the manager does not answer.
    InvalidInputError
        If nothing is left for this job.
    """
    folder = _run_folder(url)
    os.environ[_JOB_ID], os.environ[_JOB_NAME] = job_id, job_name
    answer = _ask(folder, hello(messages.JobIdentity(job_id), job_name, log_fname))
    if not isinstance(answer, messages.Assigned):
        raise InvalidInputError(f"There is no learner for job {job_name}: {type(answer).__name__}.")
    pack = Pack(RunFolder.at(folder).pack)
    pack.extend_sys_path()
    packed = pack.read(answer.attempt.learner)
    files = DataFiles(packed.learner, Project.at(pack.folder).resolve(packed.fname))
    files.load()
    warn_of_writers(files.other_writers)
    return packed.learner, packed.fname, packed.initializer


def tell_done(url: str | Path, fname: str | list[str]) -> None:
    """Tell the manager that the learner with this `fname` is done and saved.

    Parameters
    ----------
    url, fname
        As for, and from, `get_learner`, which must have been called before. A
        relative `fname` starts from the folder in which the run was started.

    Raises
    ------
    ConnectionLostError
        If the manager does not answer.
    InvalidInputError
        If this job does not have that learner.
    """
    folder = _run_folder(url)
    job_id, job_name = os.environ[_JOB_ID], os.environ[_JOB_NAME]
    # Asking again tells which attempt this job has.
    answer = _ask(folder, hello(messages.JobIdentity(job_id), job_name, ""))
    if not isinstance(answer, messages.Assigned):
        raise InvalidInputError(f"Job {job_name} has no learner that could be done.")
    pack = Pack(RunFolder.at(folder).pack)
    project = Project.at(pack.folder)
    own = project.resolve(pack.fnames[answer.attempt.learner])
    if own.paths != project.resolve(fname).paths:
        raise InvalidInputError(f"Job {job_name} does not have the learner of '{fname}'.")
    _ask(folder, messages.Done(messages.JobIdentity(job_id), answer.attempt, {}))


def log_now(runner: AsyncRunner, npoints_start: int) -> None:
    """Log how a runner does, in one line.

    Parameters
    ----------
    runner
        The runner.
    npoints_start
        How many points its learner had when it began.
    """
    note_fields("current status", {**runner_figures(runner, npoints_start), **Usage().figures()})


def log_info(runner: AsyncRunner, interval: float = 300) -> asyncio.Task[Any]:
    """Log how a runner does, every `interval` seconds until it ends.

    Returns
    -------
    asyncio.Task
        What does it, on the runner's loop.
    """
    npoints_start = runner.learner.npoints

    async def keep_logging() -> None:
        while not runner.task.done():
            log_now(runner, npoints_start)
            await asyncio.wait([runner.task], timeout=interval)

    task: asyncio.Task[Any] = runner.ioloop.create_task(keep_logging())
    return task


def _run_folder(url: str | Path) -> Path:
    """Find the run folder that is meant."""
    if Path(url).is_dir():
        return Path(url).absolute()
    for path in Path.cwd().glob("*/connection.json"):
        if url in curve.Connection.read(path).addresses:
            return path.parent
    raise InvalidInputError(f"'{url}' is no run folder, and none in '{Path.cwd()}' belongs to it.")


def _ask(folder: Path, message: messages.Message) -> messages.Answer:
    async def ask() -> messages.Answer | None:
        connection = ManagerConnection(RunFolder.at(folder).connection)
        try:
            return await connection.request(message, patience=_PATIENCE)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:  # the caller's own may have a loop that runs
        answer = thread.submit(asyncio.run, ask()).result()
    if answer is None:
        raise ConnectionLostError(f"The manager of the run in '{folder}' does not answer.")
    return answer
