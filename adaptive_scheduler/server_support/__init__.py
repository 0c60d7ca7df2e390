"""The manager's side: answers jobs, submits them, and shows how far they are.

==================== ==========================================================
module               subject
==================== ==========================================================
`run_manager`        the face of a run, which delegates
`lifecycle`          how a run starts, goes on, and ends
`steering`           pause, resume, retry and cancel
`waiting`            waits for a run, and tells how to come back to it
`multi_run_manager`  several of them
`database_manager`   who has which learner
`record_view`        what the record of a run says, whoever writes it
`record_keeping`     how it grows by what happens
`job_manager`        submits jobs and watches the queue
`kill_manager`       cancels jobs whose output says that they are lost
`restore`            replays the journal and goes on with it
`message_handler`    the answer to each message of a job
`planning`           which jobs to submit next, and when, and which to end
`submitter`          how that is done, step by step
`batches`            what is submitted together
`reconcile`          compares the jobs that we know with the queue
`event_loop`         where all of them run
==================== ==========================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaptive_scheduler._common.lazy import lazy_names

if TYPE_CHECKING:
    from adaptive_scheduler.errors import MaxRestartsReachedError
    from adaptive_scheduler.protocol.addresses import get_allowed_url
    from adaptive_scheduler.server_support.base_manager import BaseManager
    from adaptive_scheduler.server_support.cleaning import cleanup_scheduler_files
    from adaptive_scheduler.server_support.database_manager import DatabaseManager
    from adaptive_scheduler.server_support.job_manager import JobManager
    from adaptive_scheduler.server_support.kill_manager import KillManager
    from adaptive_scheduler.server_support.logs import (
        logs_with_string_or_condition,
        parse_log_files,
    )
    from adaptive_scheduler.server_support.multi_run_manager import MultiRunManager
    from adaptive_scheduler.server_support.old_profiles import periodically_clean_ipython_profiles
    from adaptive_scheduler.server_support.one_by_one import start_one_by_one
    from adaptive_scheduler.server_support.run_manager import RunManager
    from adaptive_scheduler.server_support.run_with_slurm import slurm_run

_HOME = {
    "BaseManager": "adaptive_scheduler.server_support.base_manager",
    "DatabaseManager": "adaptive_scheduler.server_support.database_manager",
    "JobManager": "adaptive_scheduler.server_support.job_manager",
    "KillManager": "adaptive_scheduler.server_support.kill_manager",
    "MaxRestartsReachedError": "adaptive_scheduler.errors",
    "MultiRunManager": "adaptive_scheduler.server_support.multi_run_manager",
    "RunManager": "adaptive_scheduler.server_support.run_manager",
    "cleanup_scheduler_files": "adaptive_scheduler.server_support.cleaning",
    "get_allowed_url": "adaptive_scheduler.protocol.addresses",
    "logs_with_string_or_condition": "adaptive_scheduler.server_support.logs",
    "parse_log_files": "adaptive_scheduler.server_support.logs",
    "periodically_clean_ipython_profiles": "adaptive_scheduler.server_support.old_profiles",
    "slurm_run": "adaptive_scheduler.server_support.run_with_slurm",
    "start_one_by_one": "adaptive_scheduler.server_support.one_by_one",
}

__all__ = [
    "BaseManager",
    "DatabaseManager",
    "JobManager",
    "KillManager",
    "MaxRestartsReachedError",
    "MultiRunManager",
    "RunManager",
    "cleanup_scheduler_files",
    "get_allowed_url",
    "logs_with_string_or_condition",
    "parse_log_files",
    "periodically_clean_ipython_profiles",
    "slurm_run",
    "start_one_by_one",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
