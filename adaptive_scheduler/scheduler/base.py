"""What users do with jobs by their names, the same for every scheduler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import adaptive_scheduler
from adaptive_scheduler._common.atomic import atomic_write
from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.scheduler.cancelling import cancel_and_wait
from adaptive_scheduler.scheduler.core import Scheduler
from adaptive_scheduler.scheduler.jobs import Batch, JobEnd, QueuedJob, new_token, number_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BaseScheduler", "Batch", "JobEnd", "QueuedJob"]


class BaseScheduler(Scheduler):
    """A queueing system, and what can be done with it.

    Each kind has a class of its own below this one. What this class adds to
    `Scheduler`, which says what the parameters are, speaks of jobs by their
    full names, ``{job_name}-{number}``.
    """

    @property
    def launcher(self) -> Path:
        """The program that every job runs."""
        return Path(adaptive_scheduler.__file__).with_name("run_learner.py")

    def batch_fname(self, name: str) -> Path:
        """Return where `write_job_script` puts the script of the job `name`."""
        return Path(self.batch_folder) / f"{name}{self.ext}"

    def log_fname(self, name: str) -> Path:
        """Return where the job `name` writes its log.

        The name has the job's id in it, which is not known before the job is
        submitted; in its place stands what a job script would write for it.
        """
        return Path(self.log_folder) / f"{name}-{self.variables.job_id}.log"

    def output_fnames(self, name: str) -> list[Path]:
        """Return where the output and the errors of the job `name` go, with the id as above."""
        return [self.log_fname(name).with_suffix(".out")]

    def sanatize_job_id(self, job_id: str) -> str:
        """Return `job_id` as the queue shows it, where a job knows it by another name."""
        return job_id

    def write_job_script(
        self, name: str, options: Mapping[str, object], index: int | None = None
    ) -> None:
        """Write the script of the job `name` to where `start_job` looks for it.

        Raises
        ------
        OSError
            If it can't be written.
        """
        with atomic_write(self.batch_fname(name), encoding="utf-8") as file:
            file.write(self.job_script(options, index=index))

    def start_job(self, name: str, *, index: int | None = None) -> str:
        """Submit the script that `write_job_script` has written, and return the job's id.

        Raises
        ------
        InvalidInputError
            If there is no such script, or `name` is not a job's full name.
        SubmissionRejectedError, SchedulerUnavailableError
            As `submit`.
        """
        prefix, number = number_of(name)
        path = self.batch_fname(name).absolute()
        try:
            script = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise InvalidInputError(
                f"There is no job script {path}: call `write_job_script({name!r}, ...)` first."
            ) from error
        batch = Batch(
            job_name=prefix,
            numbers=(number,),
            script=script,
            script_path=path,
            resources=self.resources(index or 0),
            workdir=Path.cwd(),
            log_folder=Path(self.log_folder).absolute(),
            token=new_token(run_id=""),
        )
        return self.submit(batch)[number]

    def queue_df(self) -> pd.DataFrame:
        """Return the queue as a table, one row a job."""
        import pandas as pd

        columns = list(QueuedJob.__annotations__)
        return pd.DataFrame.from_dict(self.queue(), orient="index", columns=columns)

    def job_names_to_job_ids(self, *job_names: str) -> list[str]:
        """Return the ids of the living jobs with these names."""
        wanted = set(job_names)
        jobs = self.queue().items()
        return [job_id for job_id, job in jobs if job["alive"] and job["job_name"] in wanted]

    def cancel(
        self,
        job_names: Iterable[str],
        *,
        with_progress_bar: bool = True,
        max_tries: int = 5,
    ) -> None:
        """Cancel all jobs with these names and wait until they are gone.

        Parameters
        ----------
        job_names
            Full names, such as ``"sweep-7"``.
        with_progress_bar
            Show how many of them are gone.
        max_tries
            How often to ask the scheduler.

        Raises
        ------
        SchedulerUnavailableError
            If jobs are left after `max_tries`.
        """
        names = list(job_names)
        cancel_and_wait(
            self,
            lambda: self.job_names_to_job_ids(*names),
            with_progress_bar=with_progress_bar,
            max_tries=max_tries,
        )
