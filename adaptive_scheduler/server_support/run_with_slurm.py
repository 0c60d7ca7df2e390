"""A run with Slurm in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

from adaptive_scheduler._common.signatures import Face
from adaptive_scheduler.run_folder.options import SlurmRunOptions
from adaptive_scheduler.run_folder.spec import NO_KEYWORDS, RunSpec
from adaptive_scheduler.scheduler.slurm.scheduler import SLURM
from adaptive_scheduler.server_support.run_manager import RunManager

if TYPE_CHECKING:
    from adaptive import BaseLearner

    from adaptive_scheduler.executors.kinds import EXECUTOR_TYPES
    from adaptive_scheduler.learners.paths import FnameTypes
    from adaptive_scheduler.scheduler.resources import PerLearner

_FACE: Final = Face(
    "slurm_run",
    RunSpec,
    # These follow from `name` and `folder`.
    hidden={"job_name", "folder", "db_fname", "move_old_logs_to", *NO_KEYWORDS},
    defaults={"cleanup_first": True, "save_dataframe": True},
)


@_FACE
def slurm_run(
    learners: Sequence[BaseLearner],
    fnames: Sequence[FnameTypes],
    *,
    name: str = "adaptive-scheduler",
    folder: str | Path = "",
    partition: PerLearner[str | None] = None,
    nodes: PerLearner[int | None] = 1,
    cores_per_node: PerLearner[int | None] = None,
    memory: PerLearner[str | None] = None,
    num_threads: PerLearner[int] = 1,
    exclusive: PerLearner[bool] = False,
    executor_type: PerLearner[EXECUTOR_TYPES] = "process-pool",
    extra_scheduler: PerLearner[list[str] | None] = None,
    extra_env_vars: PerLearner[list[str] | None] = None,
    extra_run_manager_kwargs: Mapping[str, Any] | None = None,
    extra_scheduler_kwargs: Mapping[str, Any] | None = None,
    **options: Unpack[SlurmRunOptions],
) -> RunManager:
    """Return a run of jobs of Slurm, which is to be started.

    Each job gets a whole node of the default partition, unless you say
    otherwise.

    Parameters
    ----------
    learners, fnames
        As for `RunManager`.
    name
        What the names of the jobs begin with.
    folder
        The folder in which the run folder lies, by default this one.
    partition, nodes, cores_per_node, memory, exclusive
        As for `SLURM`.
    num_threads, executor_type, extra_scheduler, extra_env_vars
        Likewise.
    extra_run_manager_kwargs
        Further arguments for `RunManager`; they win over all others.
    extra_scheduler_kwargs
        Further arguments for `SLURM`, such as ``{"time": "02:00:00"}``.
    **options
        See `RunSpec`.

    Raises
    ------
    TypeError
        If there is no such keyword.
    InvalidInputError
        If anything that was given can't work.
    """
    said = _FACE.read(options)
    scheduler = SLURM(
        **{
            "partition": partition,
            "nodes": nodes,
            "cores_per_node": cores_per_node,
            "memory": memory,
            "num_threads": num_threads,
            "exclusive": exclusive,
            "executor_type": executor_type,
            "extra_scheduler": extra_scheduler,
            "extra_env_vars": extra_env_vars,
            **(extra_scheduler_kwargs or {}),
        }
    )
    return RunManager(
        scheduler,
        learners,
        fnames,
        **{
            "job_name": name,
            "folder": Path(folder) / f"{name}-run",
            **said,
            **(extra_run_manager_kwargs or {}),
        },
    )
