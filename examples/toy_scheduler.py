"""A scheduler for another queueing system: the toy queue of ``toy_queue.py``.

Copy it for a system of yours. A scheduler is a class that says, in data and in
functions without side effects, how jobs are submitted, listed and cancelled, and
what the answers mean. Everything else is done by `BaseScheduler`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import ClassVar

from adaptive_scheduler.errors import InvalidInputError, SchedulerUnavailableError
from adaptive_scheduler.scheduler import (
    BaseScheduler,
    Batch,
    JobArray,
    JobEnd,
    JobVariables,
    Phase,
    QueuedJob,
    Resources,
    queued_job,
    seconds_of,
)

#: Where a job stands that is in a state. Source: the manual of the system, here the words of
#: ``toystat``. A state that is missing counts as alive: better to wait for a job that has
#: ended than to start a second one beside it.
STATES: Mapping[str, Phase] = {"PENDING": "pending", "RUNNING": "running", "ENDING": "ending"}


class ToyScheduler(BaseScheduler):
    """Runs jobs in a toy queue.

    Parameters
    ----------
    cores*
        Cores for each job.
    **keywords
        As for `BaseScheduler`, and `time*`: wall time for each job.
    """

    # A short name, and what says which queue it is: by these, a shell can cancel jobs of a run
    # whose manager has ended.
    kind = "toy"
    location: ClassVar[Mapping[str, str]] = {"spool": "TOY_SPOOL"}
    ext = ".toy"
    submit_cmd = "toysub"
    directive = "#TOY"
    max_array_size = 100
    #: What the environment of a job tells it, as shell expressions.
    variables = JobVariables(job_id="$TOY_JOB_ID", number="$TOY_NUMBER", cores="$TOY_CORES")
    #: After these words, jobs may have been submitted. After others they were refused.
    doubtful = ("is down",)
    #: What to do after a refusal, by words of it.
    hints: ClassVar[Mapping[str, str]] = {
        "not so many cores": "`toyinfo` tells how many there are."
    }

    def check(self, resources: Resources) -> None:
        """Refuse what no job can get: the queue might keep such a job for ever."""
        super().check(resources)
        most = int(self.commands.ask(["toyinfo"]))
        if resources.cores > most:
            raise InvalidInputError(f"No job can get {resources.cores} cores: there are {most}.")

    # Job scripts.

    def script_head(self, resources: Resources) -> list[str]:
        """Return the lines at the head of a script that say what a job asks for."""
        return [f"{self.directive} {option}" for option in self._options(resources)]

    def _options(self, resources: Resources) -> list[str]:
        time = [] if resources.time is None else [f"--time={seconds_of(resources.time)}"]
        return [f"--cores={resources.cores}", *time, *resources.extra_scheduler]

    # Submitting.

    def submit_command(self, batch: Batch, jobs: JobArray) -> list[str]:
        """Return the command that submits some jobs of a batch.

        The queue must keep the token with each job: by it, jobs are known to
        belong to a run, and a submission whose answer was lost is found again.
        """
        return [
            "toysub",
            f"--name={batch.job_name}",
            f"--comment={batch.token}",
            f"--chdir={batch.workdir}",
            f"--logs={batch.log_folder}",
            *self._options(batch.resources),
            *map(str, jobs.numbers),
        ]

    def submit_input(self, batch: Batch, jobs: JobArray) -> str:  # noqa: ARG002  for all of them
        """Return the script, which toysub reads from its input."""
        return batch.script

    def parse_submit(self, stdout: str, jobs: JobArray) -> dict[int, str]:  # noqa: ARG002
        """Read the lines ``NUMBER ID``."""
        pairs = (line.split() for line in stdout.splitlines())
        return {int(number): job_id for number, job_id in pairs}

    # Listing and cancelling.

    def queue_command(self, *, me_only: bool) -> list[str]:  # noqa: ARG002  all jobs are mine
        """Return the command that lists jobs."""
        return ["toystat"]

    def parse_queue(self, stdout: str) -> dict[str, QueuedJob]:
        """Read the lines of toystat, each of which is a JSON object."""
        try:
            jobs = [json.loads(line) for line in stdout.splitlines()]
        except ValueError as error:
            raise SchedulerUnavailableError(f"toystat printed {stdout!r}") from error
        return {
            job["id"]: queued_job(
                job_name=f"{job['name']}-{job['number']}",
                state=job["state"],
                phase=STATES.get(job["state"], "unknown"),
                reason="waits for cores" if job["state"] == "PENDING" else "",
                token=job["comment"],
                submitted=job["submitted"],
            )
            for job in jobs
        }

    def cancel_commands(self, job_ids: Collection[str]) -> Iterator[list[str]]:
        """Yield the command that cancels jobs; what can be no id is left out."""
        if known := [job_id for job_id in job_ids if job_id.isdecimal()]:
            yield ["toydel", *known]

    def ends_commands(self, job_ids: Collection[str]) -> Iterator[list[str]]:
        """Yield the command that tells how jobs have ended."""
        yield ["toyends", *job_ids]

    def parse_ends(self, stdout: str) -> dict[str, JobEnd]:
        """Read the lines of toyends."""
        ends = [json.loads(line) for line in stdout.splitlines()]
        return {end.pop("id"): JobEnd(**end) for end in ends}
