"""What users need around a run: names, splitting, loading, dataframes, caches.

Each name lives in the module of its subject and is loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaptive_scheduler._common.lazy import lazy_names

if TYPE_CHECKING:
    from adaptive_scheduler._common.logs import log_exception
    from adaptive_scheduler._common.progress import track_file_creation_progress
    from adaptive_scheduler._common.timing import add_timing_to_object
    from adaptive_scheduler._common.waiting import sleep_unless_task_is_done
    from adaptive_scheduler.executors.ipyparallel import connect_to_ipyparallel
    from adaptive_scheduler.executors.kinds import EXECUTOR_TYPES, LOKY_START_METHODS
    from adaptive_scheduler.learners.caching import LRUCachedCallable, shared_memory_cache
    from adaptive_scheduler.learners.dataframes import (
        expand_dict_columns,
        fname_to_dataframe,
        load_dataframes,
        save_dataframe,
    )
    from adaptive_scheduler.learners.goals import GoalTypes, smart_goal
    from adaptive_scheduler.learners.learner_files import (
        cloudpickle_learners,
        fname_to_learner,
        fname_to_learner_fname,
    )
    from adaptive_scheduler.learners.paths import (
        FnamesTypes,
        add_constant_to_fname,
        combo2fname,
        combo_to_fname,
        hash_anything,
        maybe_round,
        round_sigfigs,
    )
    from adaptive_scheduler.learners.splitting import (
        combine_sequence_learners,
        copy_from_sequence_learner,
        shuffle_list,
        split,
        split_in_balancing_learners,
        split_sequence_in_sequence_learners,
        split_sequence_learner,
    )
    from adaptive_scheduler.learners.storage import atomic_write, load_parallel, save_parallel
    from adaptive_scheduler.learners.wrapped import WrappedFunction

#: The module that each name lives in.
_HOME = {
    "EXECUTOR_TYPES": "adaptive_scheduler.executors.kinds",
    "FnamesTypes": "adaptive_scheduler.learners.paths",
    "GoalTypes": "adaptive_scheduler.learners.goals",
    "LOKY_START_METHODS": "adaptive_scheduler.executors.kinds",
    "LRUCachedCallable": "adaptive_scheduler.learners.caching",
    "WrappedFunction": "adaptive_scheduler.learners.wrapped",
    "_DATAFRAME_FORMATS": "adaptive_scheduler.learners.dataframes",
    "add_constant_to_fname": "adaptive_scheduler.learners.paths",
    "add_timing_to_object": "adaptive_scheduler._common.timing",
    "atomic_write": "adaptive_scheduler.learners.storage",
    "cloudpickle_learners": "adaptive_scheduler.learners.learner_files",
    "combine_sequence_learners": "adaptive_scheduler.learners.splitting",
    "combo2fname": "adaptive_scheduler.learners.paths",
    "combo_to_fname": "adaptive_scheduler.learners.paths",
    "connect_to_ipyparallel": "adaptive_scheduler.executors.ipyparallel",
    "copy_from_sequence_learner": "adaptive_scheduler.learners.splitting",
    "expand_dict_columns": "adaptive_scheduler.learners.dataframes",
    "fname_to_dataframe": "adaptive_scheduler.learners.dataframes",
    "fname_to_learner": "adaptive_scheduler.learners.learner_files",
    "fname_to_learner_fname": "adaptive_scheduler.learners.learner_files",
    "hash_anything": "adaptive_scheduler.learners.paths",
    "load_dataframes": "adaptive_scheduler.learners.dataframes",
    "load_parallel": "adaptive_scheduler.learners.storage",
    "log_exception": "adaptive_scheduler._common.logs",
    "maybe_round": "adaptive_scheduler.learners.paths",
    "round_sigfigs": "adaptive_scheduler.learners.paths",
    "save_dataframe": "adaptive_scheduler.learners.dataframes",
    "save_parallel": "adaptive_scheduler.learners.storage",
    "shared_memory_cache": "adaptive_scheduler.learners.caching",
    "shuffle_list": "adaptive_scheduler.learners.splitting",
    "sleep_unless_task_is_done": "adaptive_scheduler._common.waiting",
    "smart_goal": "adaptive_scheduler.learners.goals",
    "split": "adaptive_scheduler.learners.splitting",
    "split_in_balancing_learners": "adaptive_scheduler.learners.splitting",
    "split_sequence_in_sequence_learners": "adaptive_scheduler.learners.splitting",
    "split_sequence_learner": "adaptive_scheduler.learners.splitting",
    "track_file_creation_progress": "adaptive_scheduler._common.progress",
}

__all__ = [
    "EXECUTOR_TYPES",
    "LOKY_START_METHODS",
    "FnamesTypes",
    "GoalTypes",
    "LRUCachedCallable",
    "WrappedFunction",
    "add_constant_to_fname",
    "add_timing_to_object",
    "atomic_write",
    "cloudpickle_learners",
    "combine_sequence_learners",
    "combo2fname",
    "combo_to_fname",
    "connect_to_ipyparallel",
    "copy_from_sequence_learner",
    "expand_dict_columns",
    "fname_to_dataframe",
    "fname_to_learner",
    "fname_to_learner_fname",
    "hash_anything",
    "load_dataframes",
    "load_parallel",
    "log_exception",
    "maybe_round",
    "round_sigfigs",
    "save_dataframe",
    "save_parallel",
    "shared_memory_cache",
    "shuffle_list",
    "sleep_unless_task_is_done",
    "smart_goal",
    "split",
    "split_in_balancing_learners",
    "split_sequence_in_sequence_learners",
    "split_sequence_learner",
    "track_file_creation_progress",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
