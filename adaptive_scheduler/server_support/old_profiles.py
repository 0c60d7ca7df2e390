"""Profiles of IPython that jobs of release 2.x have left in the user's home.

Jobs of today keep theirs in the run folder, and remove them.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler.errors import SchedulerError
from adaptive_scheduler.run_folder.checks import check_interval
from adaptive_scheduler.server_support.event_loop import event_loop

if TYPE_CHECKING:
    from adaptive_scheduler.scheduler.base import BaseScheduler

log = logging.getLogger(__name__)

#: The folder of a profile; the number is that of its job, PBS adds the name of a server.
_PROFILE = re.compile(r"profile_adaptive_scheduler_(\d+)(\..*)?")


def periodically_clean_ipython_profiles(
    scheduler: BaseScheduler, interval: float = 600
) -> concurrent.futures.Future[None]:
    """Remove, now and then, the profiles of IPython that jobs of release 2.x have left.

    Parameters
    ----------
    scheduler
        The scheduler of these jobs. What belongs to a job in its queue stays.
    interval
        Seconds between two looks.

    Returns
    -------
    future
        Cancel it to have an end of it.

    Raises
    ------
    InvalidInputError
        If `interval` is not a positive number.
    """
    check_interval("interval", interval)

    async def keep_removing() -> None:
        while True:
            try:
                await asyncio.to_thread(remove_old_profiles, scheduler)
            except SchedulerError as error:
                log.warning("Which profiles of IPython are old can't be found out: %s", error)
            await asyncio.sleep(interval)

    return event_loop.submit(keep_removing())


def remove_old_profiles(scheduler: BaseScheduler) -> None:
    """Remove the profiles of jobs that are not in the queue.

    Raises
    ------
    SchedulerError
        If the queue can't be read; nothing is removed then.
    """
    home = Path(os.environ.get("IPYTHONDIR") or "~/.ipython").expanduser()
    # First the profiles: a job that begins between the two looks keeps its own.
    profiles = {path: m[1] for path in home.glob("*") if (m := _PROFILE.fullmatch(path.name))}
    if not profiles:
        return
    living = {job_id.partition(".")[0] for job_id in scheduler.queue()}
    for path, number in profiles.items():
        if number not in living:
            shutil.rmtree(path, ignore_errors=True)
