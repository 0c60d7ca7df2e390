"""Programs that a job starts on all of its cores."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Self

from adaptive_scheduler.executors.parent_death import end_with
from adaptive_scheduler.executors.worker import WorkerError

#: Seconds that launchers get to end when they are told to.
_GRACE = 2.0
#: Seconds between two looks whether programs have ended.
_LOOK = 0.02


class WorkerProcesses:
    """Programs that end with the job.

    Parameters
    ----------
    command
        A program of which one is started for each worker.
    n_workers
        How many.
    launcher
        The command that starts them all, without how many; none starts each by itself.
    output
        The file that gets what they print.
    environment
        Variables that they have beside those of the job.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        n_workers: int,
        launcher: Sequence[str],
        output: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._output = output
        # What starts programs on other nodes has to tell these.
        self._grace = _GRACE if launcher else 0.0
        all_at_once = [*launcher, "-n", str(n_workers), *command]
        commands = [all_at_once] if launcher else [list(command)] * n_workers
        with output.open("ab") as file:
            self._processes = [_start(each, file, environment or {}) for each in commands]

    def check(self) -> None:
        """Check that none of them has ended.

        Raises
        ------
        WorkerError
            If one has.
        """
        for process in self._processes:
            if process.poll() is not None:
                text = self._output.read_text(errors="replace")[-2000:]
                raise WorkerError(
                    f"A worker ended with exit code {process.returncode}. The end of what it "
                    f"said:\n{text}"
                )

    async def end(self) -> None:
        """Wait until all have ended."""
        for process in self._processes:
            while process.poll() is None:  # noqa: ASYNC110  no event tells
                await asyncio.sleep(_LOOK)

    def close(self) -> None:
        """End them all, and what they have started."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._grace
        for process in self._processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            process.kill()
            with suppress(ProcessLookupError):
                # Its children; what tidies up after multiprocessing does not heed it.
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _start(
    command: Sequence[str], output: IO[bytes], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        preexec_fn=partial(end_with, os.getpid()),  # noqa: PLW1509  it calls the kernel only
        start_new_session=True,
    )
