"""The program that every job runs: ``python -m adaptive_scheduler.run_learner``.

Job scripts call it; what it needs to know beside its command line lies in the
run folder.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import get_args

from adaptive_scheduler._common.scratch import scratch_of
from adaptive_scheduler.executors import WorkerLayout
from adaptive_scheduler.executors.kinds import EXECUTOR_TYPES, given_cores


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m adaptive_scheduler.run_learner", description="Run learners in a job."
    )
    add = parser.add_argument
    add("--run-folder", type=Path, required=True, help="what the run keeps on disk")
    add("--run-id", default="", help="the run that has submitted this job, if that is known")
    add("--job-id", required=True, help="the scheduler's id of this job")
    add("--number", type=int, required=True, help="the number in this job's name")
    add("--restarts", type=int, default=0, help="how often the scheduler has restarted this job")
    add("--executor-type", choices=get_args(EXECUTOR_TYPES), default="process-pool")
    add("--cores", type=int, default=1, help="cores that this job has asked for")
    add("--given-cores", type=_count, default=0, help="cores that it was given, if that is known")
    add("--worker-launcher", default="", help="command that starts a program on each core")
    return parser


def _count(text: str) -> int:
    """Return a number that a scheduler may have told; 0 if it has not."""
    text = text.strip()
    return int(text) if text.isdigit() else 0


def main(arguments: list[str] | None = None) -> int:
    """Run a job and return its exit code."""
    options = make_parser().parse_args(arguments)
    import asyncio

    is_mpi = options.executor_type == "mpi4py"
    if is_mpi:
        from adaptive_scheduler.executors import mpi
        from adaptive_scheduler.executors.worker import WorkerError

        try:
            mpi.check_world()
        except WorkerError as error:
            sys.exit(str(error))
    from adaptive_scheduler.client_support.job import JobOptions, run_job

    # The user's functions may change the working directory; nothing here starts from it later.
    run_folder = options.run_folder.absolute()
    exit_code = asyncio.run(
        run_job(
            JobOptions(
                run_folder=run_folder,
                run_id=options.run_id,
                job_id=options.job_id,
                number=options.number,
                restarts=options.restarts,
                layout=WorkerLayout(
                    executor_type=options.executor_type,
                    cores=given_cores(options.cores, options.given_cores, options.executor_type),
                    worker_launcher=tuple(shlex.split(options.worker_launcher)),
                    scratch=scratch_of(run_folder, options.job_id),
                ),
            )
        )
    )
    if is_mpi:
        mpi.end_soon(exit_code)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
