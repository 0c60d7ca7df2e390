"""What is looked at before jobs are submitted, whatever the scheduler."""

from __future__ import annotations

from adaptive_scheduler.errors import InvalidInputError, SubmissionRejectedError
from adaptive_scheduler.scheduler.core import Scheduler
from adaptive_scheduler.scheduler.jobs import Batch


def check_batch(scheduler: Scheduler, batch: Batch) -> None:
    """Check that jobs can begin at some time: schedulers take some that wait for ever.

    Raises
    ------
    SubmissionRejectedError
        If they can't.
    """
    try:
        scheduler.check(batch.resources)
    except InvalidInputError as error:
        raise SubmissionRejectedError(
            f"The jobs of '{batch.job_name}' were not submitted: {error}"
        ) from error


def make_log_folder(batch: Batch) -> None:
    """Make the folder for the output of jobs: schedulers make none, and such jobs fail or hang.

    Raises
    ------
    SubmissionRejectedError
        If it can't be made.
    """
    try:
        batch.log_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SubmissionRejectedError(
            f"The output of '{batch.job_name}' can't be written to '{batch.log_folder}': "
            f"{error.strerror}. Name another folder with `log_folder=...`."
        ) from error
