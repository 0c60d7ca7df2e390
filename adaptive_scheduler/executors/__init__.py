"""How a job spreads its evaluations over its cores.

====================== ============================================================
module                 executor
====================== ============================================================
`base`                 what all of them share
`worker`               what runs in their worker processes
`process_pool`         ``"process-pool"``: forked processes
`loky`                 ``"loky"``: processes that start from scratch
`sequential`           ``"sequential"``: a thread in the job's own process
====================== ============================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptive_scheduler.executors.base import FunctionExecutor
    from adaptive_scheduler.resources import EXECUTOR_TYPES, LOKY_START_METHODS


def open_executor(
    executor_type: EXECUTOR_TYPES,
    function: Callable[[Any], Any],
    *,
    n_workers: int,
    initializer: Callable[[], None] | None = None,
    loky_start_method: LOKY_START_METHODS = "loky",
) -> FunctionExecutor:
    """Return an executor of the given type for `function`."""
    match executor_type:
        case "process-pool":
            from adaptive_scheduler.executors.process_pool import ProcessPool

            return ProcessPool(function, n_workers, initializer)
        case "loky":
            from adaptive_scheduler.executors.loky import Loky

            return Loky(function, n_workers, initializer, start_method=loky_start_method)
        case "sequential":
            from adaptive_scheduler.executors.sequential import Sequential

            return Sequential(function, n_workers, initializer)
