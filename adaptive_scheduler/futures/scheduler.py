"""From the keywords of `SlurmExecutor` to the scheduler that this machine has."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.scheduler.pbs.scheduler import PBS
from adaptive_scheduler.scheduler.registry import default_kind
from adaptive_scheduler.scheduler.slurm.scheduler import SLURM

if TYPE_CHECKING:
    from collections.abc import Callable

    from adaptive_scheduler.scheduler.base import BaseScheduler

#: Keywords that all schedulers take.
_COMMON = ("num_threads", "executor_type", "extra_scheduler", "extra_env_vars")
#: Keywords that a scheduler other than SLURM may know by another name.
_NAMES_OF_PBS = {"partition": "queue", "memory": "memory", "cores_per_node": "cores_per_node"}


def scheduler_for(wishes: Mapping[str, Any], more: Mapping[str, Any]) -> BaseScheduler:
    """Return the scheduler of this machine, for jobs that ask for `wishes`.

    Parameters
    ----------
    wishes
        What `SlurmExecutor` was given, in the words of `SLURM`.
    more
        Further arguments, in the scheduler's own words; they win.

    Raises
    ------
    InvalidInputError
        If the scheduler knows no such thing.
    """
    kind = default_kind()
    if issubclass(kind, SLURM):
        return kind(**{**wishes, **more})
    translated = {name: wishes[name] for name in _COMMON}
    known = {"nodes", "cores_per_node", *_COMMON}
    if issubclass(kind, PBS):
        translated |= {new: wishes[old] for old, new in _NAMES_OF_PBS.items()}
        known |= _NAMES_OF_PBS.keys()
    if unknown := [name for name, wish in wishes.items() if name not in known and wish]:
        raise InvalidInputError(
            f"This machine's scheduler is {kind.__name__}, whose jobs can't ask for "
            f"{', '.join(map(repr, unknown))}: leave that out, or say `scheduler=...`."
        )
    cores = _cores(wishes["nodes"], wishes["cores_per_node"])
    return kind(**{"cores": cores, **translated, **more})


def check_wishes(
    wishes: Mapping[str, Any], more: Mapping[str, Any], executor: Callable[..., Any]
) -> None:
    """Check that nothing is asked of a scheduler that was given.

    Raises
    ------
    InvalidInputError
        If it is.
    """
    parameters = inspect.signature(executor).parameters
    said = [name for name, wish in wishes.items() if wish != parameters[name].default]
    said += ["extra_scheduler_kwargs"] if more else []
    if said:
        raise InvalidInputError(
            f"Say {', '.join(map(repr, said))} to the scheduler that is given as `scheduler`, "
            "not to the executor."
        )


def cores_of(scheduler: BaseScheduler) -> int:
    """Return how many calls a job makes at once."""
    resources = scheduler.resources(0)
    return 1 if resources.executor_type == "sequential" else resources.cores


def _cores(nodes: Any, cores_per_node: Any) -> int:
    """Return the cores of a job."""
    if not isinstance(nodes, int) or not isinstance(cores_per_node, int):
        raise InvalidInputError(
            "`nodes` and `cores_per_node` are whole numbers where the scheduler is not SLURM, not "
            f"{nodes!r} and {cores_per_node!r}: else say `scheduler=...`."
        )
    return nodes * cores_per_node
