"""What is submitted together: jobs with equal resources, and the script that they share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler.scheduler.base import BaseScheduler, Batch
from adaptive_scheduler.scheduler.jobs import new_token
from adaptive_scheduler.scheduler.resources import Resources

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.layout import RunFolder


class BatchMaker:
    """Makes batches, and writes the script of each kind of job when it is needed first.

    All of it blocks: a function of the user may say what a job asks for.

    Parameters
    ----------
    job_name
        What the names of the jobs begin with.
    folder
        Where scripts and logs go.
    scheduler
        Where the jobs will run.
    """

    def __init__(self, job_name: str, folder: RunFolder, scheduler: BaseScheduler) -> None:
        self._job_name = job_name
        self._folder = folder
        self._scheduler = scheduler
        #: The path and the text of each: what is submitted is not read back from the disk.
        self._scripts: dict[tuple[Resources, str], tuple[Path, str]] = {}

    def by_resources(self, numbers: Sequence[int]) -> dict[Resources, list[int]]:
        """Sort the numbers of jobs by what these ask for."""
        by_resources: dict[Resources, list[int]] = {}
        for number in sorted(numbers):
            by_resources.setdefault(self._scheduler.resources(number), []).append(number)
        return by_resources

    def make(
        self, resources: Resources, numbers: Sequence[int], workdir: Path, run_id: str
    ) -> Batch:
        """Return a batch of jobs that ask for the same, with a token of its own.

        Raises
        ------
        OSError
            If the script can't be written.
        """
        path, script = self._script_of(resources, run_id)
        return Batch(
            job_name=self._job_name,
            numbers=tuple(numbers),
            script=script,
            script_path=path,
            resources=resources,
            workdir=workdir,
            log_folder=self._folder.logs,
            token=new_token(run_id),
        )

    def _script_of(self, resources: Resources, run_id: str) -> tuple[Path, str]:
        if known := self._scripts.get((resources, run_id)):
            return known
        path = self._folder.scripts / f"{self._job_name}-{len(self._scripts)}{self._scheduler.ext}"
        options = {
            "run_folder": self._folder.root,
            "run_id": run_id,
            "executor_type": resources.executor_type,
            "cores": resources.cores,
        }
        script = self._scheduler.job_script(options, resources=resources)
        path.write_text(script)
        self._scripts[resources, run_id] = path, script
        return path, script
