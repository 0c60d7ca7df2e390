"""The manager's side: answers jobs, submits them, and shows how far they are.

==================== ==========================================================
module               subject
==================== ==========================================================
`run_manager`        the face of a run, which delegates
`lifecycle`          how a run starts, goes on, and ends
`managers`           the managers that do its work, from one start to its end
`database_manager`   who has which learner
`message_handler`    the answer to each message of a job
`record`             the journal of a run, and the state that it tells
`restore`            how that is read and gone on with at a start
`job_manager`        keeps as many jobs in the queue as there is work for
`planning`           which jobs to submit next, and when, and which to end
`submitter`          how they are submitted, step by step
`queue_poller`       one look at the queue for all runs of a process
`reconcile`          what that look tells of the jobs
`kill_manager`       cancels jobs whose output says that they are lost
`steering`           pause, resume, retry and cancel
`remote`             the same from another process
`view`               a run as dashboards, command line and terminal see it
`live_view`          a run of this process, so shown
`folder_view`        a run that others manage, or nobody, so shown
`monitor`, `eta`     what jobs report, counted, and when a run will be ready
`waiting`            waits for a run, and tells how to come back to it
`multi_run_manager`  several runs side by side
`event_loop`         where all of them run
==================== ==========================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaptive_scheduler._common.lazy import lazy_names

if TYPE_CHECKING:
    from adaptive_scheduler.errors import MaxRestartsReachedError
    from adaptive_scheduler.protocol.server import get_allowed_url
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
    "get_allowed_url": "adaptive_scheduler.protocol.server",
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
