"""The executor of ipyparallel: a controller beside the job, and engines on all other cores."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.executors.remote import Preparation, RemoteExecutor
from adaptive_scheduler.executors.worker import FunctionError, WorkerError, evaluate, portable
from adaptive_scheduler.executors.worker_processes import WorkerProcesses, temporary_folder

if TYPE_CHECKING:
    from adaptive_scheduler.executors import Spread

#: Seconds in which all engines must have come.
_PATIENCE = 300.0
#: Seconds between two looks at what is awaited.
_PAUSE = 0.1
#: Milliseconds between two heartbeats: engines are taken on at the second.
_HEARTBEAT = 500


class IPyParallel(RemoteExecutor):
    """Engines of ipyparallel. When one dies, the attempt ends, and another one goes on."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        spread: Spread,
        initializer: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(function, spread.cores - 1, initializer)
        self._spread = spread
        self._prepared = self._preparation()
        self._view: Any = None
        self._sending = threading.Lock()
        self._closing = threading.Event()
        # No daemon: the job saves at once, and ends when its engines have.
        threading.Thread(target=self._work, name="ipyparallel").start()

    def _work(self) -> None:
        try:
            with temporary_folder(self._spread.scratch) as scratch:
                self._serve(scratch)
        except Exception as error:  # noqa: BLE001  whatever it raises ends the attempt
            self._lose(f"The engines of ipyparallel were lost: {error}")

    def _serve(self, scratch: Path) -> None:
        profile, output = scratch / "profile", scratch / "engines.out"
        folders = [f"--profile-dir={profile}", f"--ipython-dir={scratch}"]
        launcher = self._spread.worker_launcher
        command = [
            *(sys.executable, "-m", "ipyparallel.controller", *folders, "--nodb"),
            f"--ip={'*' if launcher else '127.0.0.1'}",
            f"--HeartMonitor.period={_HEARTBEAT}",
        ]
        files = profile / "security"
        with WorkerProcesses(command, n_workers=1, launcher=(), output=output) as controller:
            engine_file = files / "ipcontroller-engine.json"
            while not engine_file.exists():
                controller.check()
                if self._closing.wait(_PAUSE):
                    return
            command = [sys.executable, "-m", "ipyparallel.engine", f"--file={engine_file}"]
            with WorkerProcesses(
                [*command, *folders], n_workers=self.n_workers, launcher=launcher, output=output
            ) as engines:
                self._direct(files / "ipcontroller-client.json", controller, engines)

    def _direct(self, file: Path, *processes: WorkerProcesses) -> None:
        import ipyparallel

        with ipyparallel.Client(str(file), timeout=_PATIENCE) as client:
            self._await_engines(client, processes)
            if self._closing.is_set():
                return
            client[:].apply_sync(_prepare, self._prepared)
            self._view = client.load_balanced_view()
            self._begin()
            while not self._closing.wait(_PAUSE):
                for each in processes:
                    each.check()

    def _await_engines(self, client: Any, processes: tuple[WorkerProcesses, ...]) -> None:
        n_looks = 0
        while len(client.ids) < self.n_workers and not self._closing.wait(_PAUSE):
            n_looks += 1
            for each in processes:
                each.check()
            if n_looks * _PAUSE > _PATIENCE:
                raise WorkerError(
                    f"{len(client.ids)} of {self.n_workers} engines have come in {_PATIENCE:.0f} s."
                )

    def _send(self, future: Future[Any], x: Any) -> None:
        with self._sending:
            sent = self._view.apply_async(_outcome, portable(x))
        sent.add_done_callback(lambda done: self._pass_on(done, future))

    def _pass_on(self, done: Any, future: Future[Any]) -> None:
        if (error := done.exception()) is not None:
            self._settle(future, error=WorkerError(f"An engine failed: {error}"))
            return
        result, raised = done.result()
        self._settle(future, result, raised)

    def close(self) -> None:
        """Have all engines end, whatever they are doing, without waiting for them."""
        self._closing.set()


def _prepare(preparation: Preparation) -> None:
    preparation.apply()


def _outcome(x: Any) -> tuple[Any, FunctionError | WorkerError | None]:
    """Return a result, or what was raised, which ipyparallel would put into words of its own."""
    try:
        return evaluate(x), None
    except (FunctionError, WorkerError) as error:
        return None, error
