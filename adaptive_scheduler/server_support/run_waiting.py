"""How a process waits for a run, and takes its leave."""

from __future__ import annotations

import asyncio
import concurrent.futures
import shlex
import sys
from collections.abc import Generator
from typing import Any

from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.server_support.run_control import RunControl
from adaptive_scheduler.server_support.terminal import watch

#: Exit code of a shell's command that was ended by Ctrl-C.
_EXIT_CODE_OF_INTERRUPT = 130
#: Seconds for which the end of the process waits for a submission that is under way.
_PARTING = 60.0
#: Seconds for which it waits for the disk.
_LAST_FLUSH = 10.0


class RunWaiting(RunControl):
    """The side of a `RunManager` that is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._has_explained = False

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the run is over, and show meanwhile how it does.

        On Ctrl-C the jobs go on.

        Parameters
        ----------
        timeout
            Seconds after which to stop waiting.

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
        task = self._started_task()
        try:
            if self.quiet:
                concurrent.futures.wait([task], timeout)
            else:
                watch(self.view, lambda s: bool(concurrent.futures.wait([task], s).done), timeout)
        except KeyboardInterrupt:
            self._explain("Interrupted")
            if is_interactive():
                raise
            raise SystemExit(_EXIT_CODE_OF_INTERRUPT) from None
        if not task.done():
            raise TimeoutError(f"Run '{self.job_name}' is not over after {timeout} s.")
        error = task.exception()
        if isinstance(error, AdaptiveSchedulerError):
            raise error.with_traceback(None)  # where it came up in here explains nothing
        task.result()

    def __await__(self) -> Generator[Any, None, None]:
        task = self._started_task()

        async def wait() -> None:
            # Interrupting the cell that awaits must not cancel the run.
            await asyncio.shield(asyncio.wrap_future(task))

        return wait().__await__()

    async def leave(self) -> None:
        """Submit what is still to be submitted, and say what becomes of the jobs.

        Called on the event loop when this process ends.
        """
        if self.task is None:
            return
        event = "The script ends"
        try:
            await asyncio.wait_for(self._settled(), _PARTING)
        except TimeoutError:
            event = "The script ends, though the scheduler does not answer"
        except AdaptiveSchedulerError as error:
            print(f"Run '{self.job_name}' has failed: {error}", file=sys.stderr)  # noqa: T201  as below
        if not self.task.done():
            self._explain(event)
            await self.database_manager.flushed(_LAST_FLUSH)

    async def _settled(self) -> None:
        """Wait until the jobs can be left to themselves, or all is over."""
        if await self.job_manager.settled():
            await self.over()

    def _explain(self, event: str) -> None:
        """Say, once, how to come back to the jobs."""
        if not self._has_explained:
            self._has_explained = True
            folder = shlex.quote(str(self.run_folder.root))
            print(  # noqa: T201  this is what it is for
                f"{event}; the jobs of run '{self.job_name}' go on. Start the same program again "
                f"to come back, or cancel them with: adaptive-scheduler cancel {folder}",
                file=sys.stderr,
            )

    def _started_task(self) -> concurrent.futures.Future[None]:
        if self.task is None:
            self._refuse_if_managed_elsewhere()
            raise AdaptiveSchedulerError(
                f"Run '{self.job_name}' has not been started: call `start()` first."
            )
        return self.task


def is_interactive() -> bool:
    """Whether a person types commands at this process, in a notebook or a shell."""
    return hasattr(sys, "ps1") or "ipykernel" in sys.modules
