# mypy: ignore-errors
"""A scheduler for this machine that the released package can use.

Its own `LocalMockScheduler` refuses every job. This one is a subclass of its
`BaseScheduler`, as a user would write it. A type checker would look at our
package instead.
"""

from __future__ import annotations

import itertools
import shlex
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

from adaptive_scheduler.scheduler import BaseScheduler

#: What a job script of either package sets by default.
_ONE_THREAD = "export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1"


class Here(BaseScheduler):
    """Runs jobs in the order in which they come, as many at a time as there are slots.

    Parameters
    ----------
    cores
        Workers of a job.
    slots
        Jobs that run at once.
    folder
        Where jobs run, and log.
    executor_type, python_executable
        As for any scheduler.
    """

    ext: ClassVar[str] = ".sh"
    submit_cmd: ClassVar[str] = "bash"

    def __init__(
        self, *, cores: int, slots: int, folder: Path, executor_type: str, python_executable: str
    ) -> None:
        super().__init__(
            cores,
            executor_type=executor_type,
            python_executable=python_executable,
            log_folder=folder,
        )
        self._folder = folder
        self._threads = ThreadPoolExecutor(slots)
        self._ids = itertools.count(1)
        self._jobs: dict[str, tuple[str, Future[object]]] = {}
        self._script = ""

    def job_script(self, options: dict[str, Any], *, index: int | None = None) -> str:
        """Return a script that wants a job's name and its id as arguments."""
        del index
        command = [self.python_executable, str(self.launcher)]
        command += [str(word) for option in options.items() for word in option]
        log_fname = f"{self._folder}/$1-$2.log"
        job = f'--name "$1" --job-id "$2" --log-fname "{log_fname}"'
        self._script = f"{_ONE_THREAD}\nexec {shlex.join(command)} {job}\n"
        return self._script

    def start_job(self, name: str, *, index: int | None = None) -> None:
        """Start a job as soon as a slot is free."""
        del index
        job_id = str(next(self._ids))
        self._jobs[job_id] = name, self._threads.submit(self._run, name, job_id)

    def _run(self, name: str, job_id: str) -> None:
        with Path(f"{self._folder}/{name}-{job_id}.out").open("w") as output:
            command = ["bash", "-c", self._script, "bash", name, job_id]
            subprocess.run(command, stdout=output, stderr=output, cwd=self._folder, check=False)

    def queue(self, *, me_only: bool = True) -> dict[str, dict[str, str]]:
        """Return the jobs that wait or run, by id."""
        del me_only
        return {
            job_id: {"job_name": name, "state": "RUNNING" if run.running() else "PENDING"}
            for job_id, (name, run) in self._jobs.items()
            if not run.done()
        }
