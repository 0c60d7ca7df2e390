"""The executor of dask: a scheduler in the job's process, and workers on all of its cores."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.executors.cluster import (
    GRACE,
    Cluster,
    RemoteExecutor,
    WorkerProcesses,
    forget_names,
)
from adaptive_scheduler.executors.worker import (
    WorkerError,
    evaluate,
    is_evaluating,
    portable,
)

if TYPE_CHECKING:
    from adaptive_scheduler.executors import WorkerLayout

#: Seconds in which the first worker must have come.
_PATIENCE = 120.0
#: Seconds in which a worker that is not stuck answers.
_ANSWER = 10.0
#: Seconds that workers get to end in their own way: the job may be about to be killed.
_EXIT_GRACE = 1.0
#: Seconds between two looks whether workers are free.
_LOOK = 0.05
#: Options of each worker: no server for browsers, and no limit but that of the job.
_OPTIONS = ("--nanny", "--nthreads=1", "--no-dashboard", "--memory-limit=0", "--death-timeout=60")

#: What a worker shares with its nanny: semaphores of multiprocessing, each with a name.
_SEMAPHORES = r"sem\.mp-\w+"

#: No point waits behind another at a worker while others are free.
_CONFIG = {"logging.distributed": "critical", "distributed.scheduler.worker-saturation": 1.0}


class Dask(Cluster):
    """Workers of dask, without dask-mpi. One that dies is started again, and its point repeated."""

    name = "dask"

    def __init__(self, layout: WorkerLayout) -> None:
        super().__init__(layout, layout.cores)
        #: What dask evaluates, each with the task that waits for it.
        self._sent: dict[asyncio.Task[None], Any] = {}

    async def _open(self, scratch: Path) -> None:
        import dask

        dask.config.set(_CONFIG)
        import distributed
        from distributed.security import Security

        new_client: Any = distributed.Client  # its types are not told
        new_security: Any = Security.temporary

        launcher = self._layout.worker_launcher
        host = "0.0.0.0" if launcher else "127.0.0.1"  # noqa: S104  other nodes must reach it
        security = new_security()
        async with (
            distributed.Scheduler(
                protocol="tls",
                security=security,
                host=host,
                port=0,
                dashboard=False,
                dashboard_address=":0",
            ) as scheduler,
            new_client(
                scheduler.address, security=security, asynchronous=True, set_as_default=False
            ) as client,
        ):
            command = [sys.executable, "-m", "dask", "worker", scheduler.address, *_OPTIONS]
            command += [f"--local-directory={scratch}", *_key_options(security, scratch)]
            output = scratch / "workers.out"
            with WorkerProcesses(
                command, n_workers=self.n_workers, launcher=launcher, output=output
            ) as workers:
                seen = partial(len, scheduler.workers)  # the others get points when they come
                await self._wait_for(seen, "No worker has come", workers, within=_PATIENCE)
                forget = partial(forget_names, _SEMAPHORES)
                await client.register_plugin(_plugin("forget-semaphores", forget))
                while not self._is_closing:
                    if (executor := self._unserved) is not None:
                        await self._prepare(client, scheduler, executor)
                    workers.check()
                    await self._pause()
                await _terminate(scheduler, workers)

    async def _prepare(self, client: Any, scheduler: Any, executor: RemoteExecutor) -> None:
        """Send the function to each worker, also to those that are yet to come."""
        self._served = executor
        for task in self._sent:
            task.cancel()
        # It would start again, what was evaluated by a worker that is killed.
        await client.cancel(list(self._sent.values()), force=True)
        await _wait_until_idle(client, scheduler)
        await client.register_plugin(_plugin("prepare", executor.preparation.apply))

        def send(future: Future[Any], x: Any) -> None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(start, future, x)

        def start(future: Future[Any], x: Any) -> None:
            try:
                sent = client.submit(evaluate, portable(x), pure=False)
            except Exception as error:  # noqa: BLE001  a point that can't travel
                executor.settle(future, error=error)
                return
            task = self._loop.create_task(_pass_on(sent, executor, future, x))
            self._sent[task] = sent
            task.add_done_callback(self._sent.pop)

        executor.begin(send)


async def _pass_on(sent: Any, executor: RemoteExecutor, future: Future[Any], x: Any) -> None:
    from distributed.scheduler import KilledWorker

    try:
        result = await sent
    except KilledWorker as error:
        why = f"Workers died, one after another, while they evaluated the function at {x!r}"
        executor.settle(future, error=WorkerError(f"{why}: {error}"))
    except Exception as error:  # noqa: BLE001  the user's own, passed on
        executor.settle(future, error=error)
    else:
        executor.settle(future, result)


async def _terminate(scheduler: Any, workers: WorkerProcesses) -> None:
    """Have the workers end in their own way: they put away what they share."""
    message = {"op": "terminate", "reason": "the job ends"}
    with suppress(TimeoutError):
        async with asyncio.timeout(_EXIT_GRACE):
            await scheduler.broadcast(msg=message, nanny=True, on_error="ignore")
            await workers.end()


async def _wait_until_idle(client: Any, scheduler: Any) -> None:
    """Wait for evaluations that nobody wants any more; kill workers that don't end them."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + GRACE
    while busy := await _busy_workers(client, scheduler):
        if loop.time() > deadline:
            break
        await asyncio.sleep(_LOOK)
    if busy:
        await client.run(_kill_worker, workers=busy, nanny=True, on_error="ignore")
    while not scheduler.workers.keys().isdisjoint(busy):  # noqa: ASYNC110  dask tells nobody
        await asyncio.sleep(_LOOK)


async def _busy_workers(client: Any, scheduler: Any) -> list[str]:
    answers = client.run(is_evaluating, on_error="return")
    try:
        states = await asyncio.wait_for(answers, _ANSWER)
    except TimeoutError:  # compiled code that lets no other thread run
        return list(scheduler.workers)
    return [address for address, state in states.items() if state is not False]


def _kill_worker(dask_worker: Any) -> None:
    """End the process of a worker; its nanny, where this runs, starts another."""
    os.kill(dask_worker.pid, signal.SIGKILL)


def _key_options(security: Any, folder: Path) -> list[str]:
    """Write the keys of a cluster into files that only the user can read; return their options."""
    options = []
    for name in ("ca-file", "cert", "key"):
        attribute = "tls_ca_file" if name == "ca-file" else f"tls_worker_{name}"
        path = folder / f"{name}.pem"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(getattr(security, attribute))
        options.append(f"--tls-{name}={path}")
    return options


def _plugin(name: str, do: Callable[[], None]) -> Any:
    """Return what each worker does when it starts, also one that is started again, and now."""
    from distributed import WorkerPlugin

    class Do(WorkerPlugin):
        def __init__(self) -> None:
            self.name = f"adaptive-scheduler-{name}"

        def setup(self, worker: Any) -> None:  # noqa: ARG002  dask calls it so
            do()

    return Do()
