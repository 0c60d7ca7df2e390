# mypy: ignore-errors
"""Both ends of the handshake in the released package: ``manager`` and ``jobs``.

Public names only. The interpreter is that of the release's own environment; a
type checker would look at our package instead.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from children import serve, size_of

from adaptive_scheduler.client_support import get_learner, tell_done
from adaptive_scheduler.scheduler import BaseScheduler
from adaptive_scheduler.server_support import DatabaseManager, JobManager, get_allowed_url

T = TypeVar("T")

#: Seconds between two looks of the release's `JobManager`: none after the first
#: falls into the benchmark.
_NEVER = 3600


class NoScheduler(BaseScheduler):
    """Believes that every job runs at once, and runs none."""

    ext: ClassVar[str] = ".sh"
    submit_cmd: ClassVar[str] = "true"

    def __init__(self) -> None:
        super().__init__(cores=1)
        self.jobs: dict[str, dict[str, str]] = {}

    def job_script(self, options: dict[str, Any], *, index: int | None = None) -> str:
        """Return a script that nobody reads."""
        del options, index
        return ""

    def start_job(self, name: str, *, index: int | None = None) -> None:
        """Believe that a job runs."""
        del index
        self.jobs[name] = {"job_name": name, "state": "RUNNING"}

    def queue(self, *, me_only: bool = True) -> dict[str, dict[str, str]]:
        """Return what is believed."""
        del me_only
        return self.jobs


class Manager:
    """Starts one `DatabaseManager` after another; a `JobManager` makes jobs known to it.

    Without the latter, the release gives no job a learner.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def start(self, folder: str, learners: int) -> dict[str, Any]:
        """Start a manager; return where its jobs find it, and what the set-up cost."""
        self._folder = Path(folder)
        self._folder.mkdir()
        return self._run(self._start(learners))

    async def _start(self, n_learners: int) -> dict[str, Any]:
        from adaptive import SequenceLearner

        url = f"tcp://127.0.0.1:{get_allowed_url().rpartition(':')[2]}"
        scheduler = NoScheduler()
        self._manager = DatabaseManager(
            url,
            scheduler,
            self._database,
            [SequenceLearner(abs, range(1)) for _ in range(n_learners)],
            [str(self._folder / "data" / f"{i:06}.pickle") for i in range(n_learners)],
            with_progress_bar=False,
        )
        started = time.perf_counter()
        self._manager.start()
        answer = {"seconds": time.perf_counter() - started, **size_of([self._folder])}
        job_names = [f"bench-{i}" for i in range(n_learners)]
        self._job_manager = JobManager(
            job_names,
            self._manager,
            scheduler,
            interval=_NEVER,
            max_simultaneous_jobs=n_learners,
        )
        self._job_manager.start()
        while len(scheduler.jobs) < n_learners:
            if self._job_manager.task.done():
                self._job_manager.task.result()
            await asyncio.sleep(0.02)
        return {**answer, "address": url, "names": list(scheduler.jobs)}

    def cpu(self) -> dict[str, Any]:
        """Return the CPU seconds that this process has used, and how many learners are done."""
        return {"cpu": time.process_time(), "done": self._run(self._n_done())}

    async def _n_done(self) -> int:
        return int(self._manager.n_done())

    def stop(self) -> dict[str, Any]:
        """Stop the manager, and return the size of its database."""
        self._run(self._stop())
        return {"journal": self._database.stat().st_size}

    async def _stop(self) -> None:
        self._job_manager.cancel()
        self._manager.cancel()
        tasks = [self._job_manager.task, self._manager.task]
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def _database(self) -> Path:
        return self._folder / "running.json"

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


class Jobs:
    """Many jobs in one process, one in each thread."""

    def connect(self, address: str, names: list[str], in_flight: int) -> dict[str, Any]:
        """Take note of the address: the release connects for each message anew."""
        self._url, self._names, self._in_flight = address, names, in_flight
        return {"seconds": 0.0}

    def run(self, learners: int) -> dict[str, Any]:
        """Take learners from all over the table and say that they are done."""
        names = self._names[:: len(self._names) // learners][:learners]
        started, cpu = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(self._in_flight) as threads:
            for _ in threads.map(self._run_one, names):
                pass
        return {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}

    def _run_one(self, name: str) -> None:
        _, fname, _ = get_learner(self._url, f"{name}.log", f"id-{name}", name)
        tell_done(self._url, fname)

    def close(self) -> dict[str, Any]:
        """Do nothing: no connection is left."""
        return {}


if __name__ == "__main__":
    if sys.argv[1] == "manager":
        manager = Manager()
        serve({"start": manager.start, "cpu": manager.cpu, "stop": manager.stop})
    else:
        jobs = Jobs()
        serve({"connect": jobs.connect, "run": jobs.run, "close": jobs.close})
