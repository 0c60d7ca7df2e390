"""The job's side: connect, learn, save, report, heed signals.

================ ==============================================================
module           subject
================ ==============================================================
`job`            the life of a job: learners one after another
`attempt`        one attempt at one learner
`saver`          the learner's data on its way to the disk
`manager_client` what a job asks and reports, to the manager or to the run folder
`fence`          no job saves over the data of another; which learners are free
`place`          whether the folders that a job works in are still there
`figures`        how far a learner is, and what its job uses
`job_log`        the log
`by_hand`        for programs of the user's own
================ ==============================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaptive_scheduler._common.lazy import lazy_names

if TYPE_CHECKING:
    from adaptive_scheduler.client_support.by_hand import (
        get_learner,
        log_info,
        log_now,
        tell_done,
    )
    from adaptive_scheduler.client_support.job_log import add_log_file_handler, args_to_env

_HOME = {
    "add_log_file_handler": "adaptive_scheduler.client_support.job_log",
    "args_to_env": "adaptive_scheduler.client_support.job_log",
    "get_learner": "adaptive_scheduler.client_support.by_hand",
    "log_info": "adaptive_scheduler.client_support.by_hand",
    "log_now": "adaptive_scheduler.client_support.by_hand",
    "tell_done": "adaptive_scheduler.client_support.by_hand",
}

__all__ = [
    "add_log_file_handler",
    "args_to_env",
    "get_learner",
    "log_info",
    "log_now",
    "tell_done",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
