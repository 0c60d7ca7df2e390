"""How a process waits for a run, and what it says when it leaves the jobs to themselves."""

from __future__ import annotations

import asyncio
import concurrent.futures
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.server_support.terminal import watch

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.lifecycle import Lifecycle
    from adaptive_scheduler.server_support.view import RunView

#: Exit code of a shell's command that was ended by Ctrl-C.
_EXIT_CODE_OF_INTERRUPT: Final = 130


class DetachNotice:
    """Says, once, how to come back to the jobs of a run.

    Parameters
    ----------
    job_name
        The name of the run.
    folder
        Its run folder.
    """

    def __init__(self, job_name: str, folder: Path) -> None:
        self._job_name = job_name
        self._folder = folder
        self._are_said = False

    def say(self, event: str) -> None:
        """Print to stderr what has happened, and what becomes of the jobs."""
        if not self._are_said:
            self._are_said = True
            print(  # noqa: T201  this is what it is for
                f"{event}; the jobs of run '{self._job_name}' go on. Start the same program again "
                "to come back, or cancel them with: adaptive-scheduler cancel "
                f"{shlex.quote(str(self._folder))}",
                file=sys.stderr,
            )


def wait_for_end(
    lifecycle: Lifecycle, view: RunView, timeout: float | None, *, quiet: bool
) -> None:
    """Block until a run is over.

    Parameters
    ----------
    lifecycle
        The life of the run.
    view
        The run as it is shown meanwhile.
    timeout
        Seconds after which to stop waiting.
    quiet
        Whether nothing is shown.

    Raises
    ------
    RunFailedError
        If learners were given up, with the traceback of one of them.
    SchedulerError
        If the scheduler refused the jobs.
    TimeoutError
        If the run isn't over after `timeout` seconds.
    AdaptiveSchedulerError
        If the run was not started.
    """
    task = lifecycle.started_task()
    try:
        if quiet:
            concurrent.futures.wait([task], timeout)
        else:
            watch(view, lambda s: bool(concurrent.futures.wait([task], s).done), timeout)
    except KeyboardInterrupt:
        lifecycle.detach_notice.say("Interrupted")
        if is_interactive():
            raise
        raise SystemExit(_EXIT_CODE_OF_INTERRUPT) from None
    if not task.done():
        raise TimeoutError(f"Run '{lifecycle.name}' is not over after {timeout} s.")
    error = task.exception()
    if isinstance(error, AdaptiveSchedulerError):
        raise error.with_traceback(None)  # where it came up in here explains nothing
    task.result()


async def end_of(task: concurrent.futures.Future[None]) -> None:
    """Wait for the task of a run; interrupting the cell that awaits does not cancel the run."""
    await asyncio.shield(asyncio.wrap_future(task))


def is_interactive() -> bool:
    """Whether a person types commands at this process, in a notebook or a shell."""
    return hasattr(sys, "ps1") or "ipykernel" in sys.modules
