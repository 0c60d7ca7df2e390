"""The executor of ipyparallel: a controller beside the job, and engines on all other cores."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.errors import ConnectionLostError
from adaptive_scheduler.executors import parent_death
from adaptive_scheduler.executors.cluster import GRACE, Cluster, RemoteExecutor, WorkerProcesses
from adaptive_scheduler.executors.kinds import check_installed
from adaptive_scheduler.executors.worker import (
    FunctionError,
    Preparation,
    WorkerError,
    evaluate,
    portable,
)

if TYPE_CHECKING:
    import ipyparallel

    from adaptive_scheduler.executors import WorkerLayout

#: Seconds in which all engines must have come.
_PATIENCE = 300.0
#: Seconds between two looks at what is awaited.
_LOOK = 0.05
#: Milliseconds between two heartbeats: engines are taken on at the second.
_HEARTBEAT = 500
#: Seconds between two tries to connect.
_CONNECT_PAUSE = 0.5


class IPyParallel(Cluster):
    """Engines of ipyparallel. When one dies, the attempt ends, and another one goes on."""

    name = "ipyparallel"

    def __init__(self, layout: WorkerLayout) -> None:
        super().__init__(layout, max(1, layout.cores - 1))

    async def _open(self, scratch: Path) -> None:
        profile, output = scratch / "profile", scratch / "engines.out"
        folders = [f"--profile-dir={profile}", f"--ipython-dir={scratch}"]
        environment = {"IPYTHONDIR": str(scratch)}  # not all of it heeds the options
        launcher = self._layout.worker_launcher
        command = [
            # The controller consists of processes that would outlive the first of them.
            *(
                sys.executable,
                "-m",
                parent_death.__name__,
                "ipyparallel.controller",
                *folders,
                "--nodb",
            ),
            f"--ip={'*' if launcher else '127.0.0.1'}",
            f"--HeartMonitor.period={_HEARTBEAT}",
            "--IPController.enable_curve=True",  # encrypted, for those who have the files
        ]
        files = profile / "security"
        with WorkerProcesses(
            command, n_workers=1, launcher=(), output=output, environment=environment
        ) as controller:
            engine_file = files / "ipcontroller-engine.json"
            begun = engine_file.exists
            await self._wait_for(
                begun, "The controller has not begun", controller, within=_PATIENCE
            )
            command = [sys.executable, "-m", "ipyparallel.engine", f"--file={engine_file}"]
            with WorkerProcesses(
                [*command, *folders],
                n_workers=self.n_workers,
                launcher=launcher,
                output=output,
                environment=environment,
            ) as engines:
                await self._direct(files / "ipcontroller-client.json", controller, engines)

    async def _direct(self, file: Path, *processes: WorkerProcesses) -> None:
        import ipyparallel

        if self._is_closing:
            return
        ours = {"profile_dir": str(file.parents[1]), "ipython_dir": str(file.parents[2])}
        with ipyparallel.Client(str(file), timeout=_PATIENCE, **ours) as client:
            await self._wait_for(
                lambda: len(client.ids) >= self.n_workers,
                f"Not all of {self.n_workers} engines have come",
                *processes,
                within=_PATIENCE,
            )
            while not self._is_closing:
                if (executor := self._unserved) is not None:
                    if not await _becomes_idle(client):
                        break  # an engine can't be told to drop what it does
                    await self._prepare(client, executor, *processes)
                for each in processes:
                    each.check()
                if len(client.ids) < self.n_workers:
                    raise WorkerError("an engine died")
                await self._pause()
            client.shutdown(hub=False, block=False)  # those that evaluate are killed later

    async def _prepare(
        self, client: Any, executor: RemoteExecutor, *processes: WorkerProcesses
    ) -> None:
        """Send the function to each engine."""
        self._served = executor
        prepared = client[:].apply_async(_prepare, executor.preparation)
        ready = prepared.ready
        await self._wait_for(ready, "Not all engines are prepared", *processes, within=_PATIENCE)
        if not ready():
            return
        prepared.get()
        view = client.load_balanced_view()

        def send(future: Future[Any], x: Any) -> None:
            sent = view.apply_async(_outcome, portable(x))
            sent.add_done_callback(lambda done: _pass_on(done, executor, future))

        executor.begin(send)


async def _becomes_idle(client: Any) -> bool:
    """Wait a little until nothing is evaluated that nobody wants any more; return whether so."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + GRACE
    while client.outstanding:
        if loop.time() > deadline:
            return False
        await asyncio.sleep(_LOOK)
    return True


def _pass_on(done: Any, executor: RemoteExecutor, future: Future[Any]) -> None:
    from ipyparallel.error import EngineError

    error = done.exception()
    if isinstance(error, EngineError):
        executor.lose(f"An engine died: {error}")
    elif error is not None:
        executor.settle(future, error=WorkerError(f"An engine failed: {error}"))
    else:
        executor.settle(future, *done.result())


def _prepare(preparation: Preparation) -> None:
    preparation.apply()


def _outcome(x: Any) -> tuple[Any, FunctionError | WorkerError | None]:
    """Return a result, or what was raised, which ipyparallel would put into words of its own."""
    try:
        return evaluate(x), None
    except (FunctionError, WorkerError) as error:
        return None, error


def connect_to_ipyparallel(
    n: int,
    profile: str,
    timeout: float = 300,
    folder: str | Path | None = None,
    client_kwargs: Mapping[str, Any] | None = None,
) -> ipyparallel.Client:
    """Return a client of a cluster, as soon as it has engines enough.

    Parameters
    ----------
    n
        How many engines to wait for.
    profile
        The profile of IPython in which the cluster was started.
    timeout
        Seconds to wait for the cluster and its engines.
    folder
        A folder from which the engines shall be able to import.
    client_kwargs
        Further arguments for `ipyparallel.Client`.

    Raises
    ------
    MissingPackageError
        If ipyparallel is not installed.
    ConnectionLostError
        If there are not so many engines in time.
    """
    check_installed("ipyparallel")
    deadline = time.monotonic() + timeout
    client = _connect(profile, deadline, dict(client_kwargs or {}))
    while len(client.ids) < n:
        if time.monotonic() > deadline:
            n_engines = len(client.ids)
            client.close()
            raise ConnectionLostError(
                f"The cluster of profile {profile!r} has {n_engines} of {n} engines after "
                f"{timeout:g} s."
            )
        time.sleep(_CONNECT_PAUSE)
    if folder is not None:
        client[:].apply_sync(_import_from, str(Path(folder).absolute()))
    return client


def _connect(profile: str, deadline: float, client_kwargs: dict[str, Any]) -> Any:
    import ipyparallel

    while True:
        try:
            return ipyparallel.Client(profile=profile, **client_kwargs)
        except OSError as error:  # there is no connection file yet, or no controller
            if time.monotonic() > deadline:
                raise ConnectionLostError(
                    f"There is no cluster in the profile {profile!r}: {error}. Start it with "
                    f"`ipcluster start --profile={profile}`."
                ) from error
        time.sleep(_CONNECT_PAUSE)


def _import_from(folder: str) -> None:
    if folder not in sys.path:
        sys.path.append(folder)
