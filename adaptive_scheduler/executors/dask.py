"""The executor of dask: a scheduler in the job's process, and workers on all of its cores."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.executors.remote import Preparation, RemoteExecutor
from adaptive_scheduler.executors.worker import WorkerError, evaluate, portable
from adaptive_scheduler.executors.worker_processes import WorkerProcesses, temporary_folder

if TYPE_CHECKING:
    from adaptive_scheduler.executors import Spread

#: Seconds in which the first worker must have come.
_PATIENCE = 120.0
#: Seconds between two looks whether the workers' programs still run.
_PAUSE = 0.5
#: Options of each worker: no server for browsers, and no limit but that of the job.
_OPTIONS = ("--nanny", "--nthreads=1", "--no-dashboard", "--memory-limit=0", "--death-timeout=60")

#: No point waits behind another at a worker while others are free.
_CONFIG = {"logging.distributed": "critical", "distributed.scheduler.worker-saturation": 1.0}


class Dask(RemoteExecutor):
    """Workers of dask, without dask-mpi. One that dies is started again, and its point repeated.

    All that speaks with dask runs on an event loop of its own, in a thread.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        spread: Spread,
        initializer: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(function, spread.cores, initializer)
        self._spread = spread
        self._prepared = self._preparation()
        self._client: Any = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        # No daemon: the job saves at once, and ends when its workers have.
        threading.Thread(target=self._work, name="dask").start()

    def _work(self) -> None:
        try:
            with (
                temporary_folder(self._spread.scratch) as scratch,
                asyncio.Runner(loop_factory=lambda: self._loop) as runner,
            ):
                runner.run(self._serve(scratch))
        except Exception as error:  # noqa: BLE001  whatever dask raises ends the attempt
            self._lose(f"The workers of dask were lost: {error!r}")

    async def _serve(self, scratch: Path) -> None:
        import dask

        dask.config.set(_CONFIG)
        import distributed

        new_client: Any = distributed.Client  # its types are not told

        launcher = self._spread.worker_launcher
        host = "0.0.0.0" if launcher else "127.0.0.1"  # noqa: S104  other nodes must reach it
        async with (
            distributed.Scheduler(
                host=host, port=0, dashboard=False, dashboard_address=":0"
            ) as scheduler,
            new_client(scheduler.address, asynchronous=True, set_as_default=False) as client,
        ):
            await client.register_plugin(_plugin(self._prepared))
            command = [sys.executable, "-m", "dask", "worker", scheduler.address, *_OPTIONS]
            command.append(f"--local-directory={scratch}")
            output = scratch / "workers.out"
            with WorkerProcesses(
                command, n_workers=self.n_workers, launcher=launcher, output=output
            ) as workers:
                self._client = client
                await self._see_workers(client, workers)
                self._begin()
                while not self._closing.is_set():
                    workers.check()
                    await self._pause()

    async def _see_workers(self, client: Any, workers: WorkerProcesses) -> None:
        """Wait for the first worker; the others get points when they come."""
        waiting = asyncio.ensure_future(client.wait_for_workers(1, timeout=_PATIENCE))
        while not waiting.done() and not self._closing.is_set():
            workers.check()
            await self._pause()
        if waiting.done():
            waiting.result()
        waiting.cancel()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), _PAUSE)

    def _send(self, future: Future[Any], x: Any) -> None:
        with suppress(RuntimeError):  # the loop has ended: the point is lost already
            self._loop.call_soon_threadsafe(self._start, future, x)

    def _start(self, future: Future[Any], x: Any) -> None:
        task = self._loop.create_task(self._evaluate(future, x))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _evaluate(self, future: Future[Any], x: Any) -> None:
        from distributed.scheduler import KilledWorker

        try:
            result = await self._client.submit(evaluate, portable(x), pure=False)
        except KilledWorker as error:
            why = f"Workers died, one after another, while they evaluated the function at {x!r}"
            self._settle(future, error=WorkerError(f"{why}: {error}"))
        except Exception as error:  # noqa: BLE001  the user's own, passed on
            self._settle(future, error=error)
        else:
            self._settle(future, result)

    def close(self) -> None:
        """Have all workers end, whatever they are doing, without waiting for them."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._closing.set)


def _plugin(preparation: Preparation) -> Any:
    """Return what prepares each worker when it starts, also one that is started again."""
    from distributed import WorkerPlugin

    class Prepare(WorkerPlugin):
        name = "adaptive-scheduler"

        def setup(self, worker: Any) -> None:  # noqa: ARG002  dask calls it so
            preparation.apply()

    return Prepare()
