"""What executors share whose workers may be on several nodes.

A cluster is what a job starts and keeps, for one learner after another: workers that
are no children of the job's process, but of programs that it starts on all of its cores.
"""

from __future__ import annotations

import abc
import asyncio
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, TypeAlias

from adaptive_scheduler._common.scratch import remove_scratch, temporary_folder
from adaptive_scheduler.executors.base import FunctionExecutor, Workers, settle
from adaptive_scheduler.executors.parent_death import end_with
from adaptive_scheduler.executors.worker import Preparation, WorkerError

if TYPE_CHECKING:
    from adaptive_scheduler.executors import WorkerLayout

#: Where the kernel shows memory that processes share.
_FOLDER = Path("/dev", "shm")
#: Seconds that launchers get to end when they are told to.
_LAUNCHER_GRACE = 2.0
#: Seconds between two looks whether programs have ended.
_LOOK = 0.02
#: Seconds between two looks whether the workers' programs still run.
_PAUSE = 0.5
#: Seconds that an evaluation which nobody waits for gets to end, before its worker is ended.
GRACE = 2.0

#: Has a worker evaluate the function, and sees that `settle` hears of it.
Send: TypeAlias = Callable[[Future[Any], Any], None]


def forget_names(pattern: str) -> None:
    """Take their names from those shared memories of this process whose names match.

    All that share them must have them by then. With names they would outlive processes
    that are killed, and meet later ones that choose the same.
    """
    maps = Path("/proc/self/maps").read_text()
    for name in set(re.findall(rf" {_FOLDER}/({pattern})$", maps, re.MULTILINE)):
        (_FOLDER / name).unlink(missing_ok=True)


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
        self._grace = _LAUNCHER_GRACE if launcher else 0.0
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


class RemoteExecutor(FunctionExecutor):
    """Workers that take a while to start; points that come earlier wait.

    Unlike `submit`, what tells how evaluations end may be called in any thread.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        n_workers: int,
        initializer: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(function, n_workers)
        self.preparation = Preparation.of(function, initializer)
        self._lock = threading.Lock()
        #: Evaluations that have no result yet, and their points.
        self._open: dict[Future[Any], Any] = {}
        self._send: Send | None = None

    def _evaluate(self, future: Future[Any], x: Any) -> None:
        with self._lock:
            self._open[future] = x
            send = self._send
        if send is not None:
            send(future, x)

    def begin(self, send: Send) -> None:
        """Send the points that have waited for the workers, and all others."""
        with self._lock:
            if self._is_closed:
                return
            self._send = send
            waiting = list(self._open.items())
        for future, x in waiting:
            send(future, x)

    def settle(
        self, future: Future[Any], result: Any = None, error: BaseException | None = None
    ) -> None:
        """Pass on what has become of an evaluation; the first to say so is heard."""
        with self._lock:
            if self._open.pop(future, self) is self:
                return
        settle(future, result, error)

    def lose(self, why: str) -> None:
        """Say that the workers are gone."""
        with self._lock:
            if not self.lost.done():
                self.lost.set_exception(WorkerError(why))

    def close(self) -> None:
        """Evaluate nothing more; what is being evaluated comes to nothing."""
        with self._lock:
            super().close()
            given_up, self._open = list(self._open), {}
        for future in given_up:
            future.cancel()


class Cluster(Workers):
    """Workers that are there from the first learner of a job to its end.

    All that speaks with them runs on an event loop of its own, in a thread:
    the packages of others may take their time. When they are lost, so is the
    attempt, and the next one gets others.

    Parameters
    ----------
    layout
        The cores, and how programs are started on them.
    n_workers
        How many evaluations run at once.
    """

    name: str

    def __init__(self, layout: WorkerLayout, n_workers: int) -> None:
        super().__init__(n_workers)
        self._layout = layout
        self._loop = asyncio.new_event_loop()
        self._news = asyncio.Event()
        self._wanted: RemoteExecutor | None = None
        self._served: RemoteExecutor | None = None
        self._is_closing = False
        self._thread: threading.Thread | None = None

    def serve(
        self, function: Callable[[Any], Any], initializer: Callable[[], None] | None = None
    ) -> RemoteExecutor:
        """Return an executor for the next learner."""
        executor = RemoteExecutor(function, self.n_workers, initializer)
        if self._thread is None:
            # No daemon: the job saves at once, and ends when its workers have.
            self._thread = threading.Thread(target=self._work, name=self.name)
            self._thread.start()
        self._tell(executor)
        return executor

    def close(self) -> None:
        """Have all workers end, whatever they are doing, without waiting for them."""
        self._tell(None)
        if self._thread is None:
            self._loop.close()
        else:
            # At once: the job may be killed before all workers have ended.
            remove_scratch(self._layout.scratch)

    def join(self) -> None:
        """Return when all workers have ended, after `close`."""
        if self._thread is not None:
            self._thread.join()

    def _tell(self, executor: RemoteExecutor | None) -> None:
        def tell() -> None:
            self._wanted = executor
            self._is_closing = executor is None
            self._news.set()

        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(tell)

    # In the thread.

    def _work(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve_learners())

    async def _serve_learners(self) -> None:
        while not self._is_closing:
            if (first := self._unserved) is None:
                await self._pause()
                continue
            try:
                with temporary_folder(self._layout.scratch) as scratch:
                    await self._open(scratch)
            except Exception as error:  # noqa: BLE001  whatever others raise ends the attempt
                for executor in {first, self._served or first}:
                    executor.lose(f"The workers of {self.name} were lost: {error}")
                if self._wanted is first:
                    self._served = first

    @property
    def _unserved(self) -> RemoteExecutor | None:
        """The executor of a learner that is to be served, and isn't yet."""
        return self._wanted if self._wanted is not self._served else None

    @abc.abstractmethod
    async def _open(self, scratch: Path) -> None:
        """Start workers, and have them serve learners until the end, or until others are needed."""

    async def _wait_for(
        self, condition: Callable[[], Any], else_: str, *processes: WorkerProcesses, within: float
    ) -> None:
        """Wait until something is so, or until the end.

        Raises
        ------
        WorkerError
            If it is not so in so many seconds, or one of the processes has ended.
        """
        deadline = self._loop.time() + within
        while not condition() and not self._is_closing:
            for each in processes:
                each.check()
            if self._loop.time() > deadline:
                raise WorkerError(f"{else_} in {within:.0f} s.")
            await asyncio.sleep(_LOOK)

    async def _pause(self) -> None:
        """Wait for news, but not for long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), _PAUSE)
        self._news.clear()
