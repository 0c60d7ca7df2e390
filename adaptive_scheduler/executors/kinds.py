"""What each executor needs, and what it can do; how many cores a job gives it."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Literal, NamedTuple, TypeAlias

from adaptive_scheduler.errors import InvalidInputError, MissingPackageError

EXECUTOR_TYPES: TypeAlias = Literal[
    "process-pool", "loky", "sequential", "mpi4py", "dask", "dask-mpi", "ipyparallel"
]
LOKY_START_METHODS: TypeAlias = Literal["loky", "loky_int_main", "spawn", "fork", "forkserver"]


class ExecutorKind(NamedTuple):
    """What there is to know about an executor before a job runs."""

    #: Whether its workers may be on several nodes.
    spans_nodes: bool = False
    #: Whether the job's program is started once for each core, as an MPI program.
    is_mpi: bool = False
    #: Whether the job starts the program of its workers once for each core.
    starts_workers: bool = False
    #: Cores of a job that don't evaluate.
    n_reserved: int = 0
    #: Packages that must be installed, and the extra of ours that installs them.
    packages: tuple[str, ...] = ()
    extra: str = ""


_DASK = ExecutorKind(
    spans_nodes=True, starts_workers=True, packages=("distributed", "cryptography"), extra="dask"
)

KINDS: dict[EXECUTOR_TYPES, ExecutorKind] = {
    "process-pool": ExecutorKind(),
    "loky": ExecutorKind(),
    "sequential": ExecutorKind(),
    "mpi4py": ExecutorKind(
        spans_nodes=True, is_mpi=True, n_reserved=1, packages=("mpi4py",), extra="mpi4py"
    ),
    "dask": _DASK,
    "dask-mpi": _DASK,
    "ipyparallel": ExecutorKind(
        spans_nodes=True,
        starts_workers=True,
        n_reserved=1,
        packages=("ipyparallel",),
        extra="ipyparallel",
    ),
}

#: Executors whose workers are all on one node.
ON_ONE_NODE = frozenset(name for name, kind in KINDS.items() if not kind.spans_nodes)


def check_size(executor_type: EXECUTOR_TYPES, cores: int) -> None:
    """Check that a job has cores enough for its executor.

    Raises
    ------
    InvalidInputError
        If none would be left to evaluate.
    """
    reserved = KINDS[executor_type].n_reserved
    if cores <= reserved:
        raise InvalidInputError(
            f"A job with the executor {executor_type!r} needs at least {reserved + 1} cores: one "
            f"directs the others. It asks for {cores}."
        )


def check_installed(executor_type: EXECUTOR_TYPES) -> None:
    """Check that the package of an executor is installed.

    Raises
    ------
    MissingPackageError
        If it isn't.
    """
    kind = KINDS[executor_type]
    for package in kind.packages:
        if find_spec(package) is None:
            raise MissingPackageError(
                f"The executor {executor_type!r} needs the package {package!r}, which is not "
                f"installed. Get it with `pip install 'adaptive-scheduler[{kind.extra}]'`."
            )


def given_cores(asked: int, told: int, executor_type: EXECUTOR_TYPES) -> int:
    """Return how many cores this job has, on all of its nodes if its executor spans them.

    How many cores the host has is never the answer: others use them, too. Where the job
    is bound to some cores of its node, more workers than these would only be in each
    other's way.

    Parameters
    ----------
    asked
        What the job was to ask for.
    told
        What the scheduler says that it was given; 0 if it says nothing.
    executor_type
        How the job spreads its evaluations.
    """
    if told and KINDS[executor_type].spans_nodes:
        return told  # its own node is not all that the job has
    cores = told or asked
    usable = len(os.sched_getaffinity(0))
    return min(cores, usable) if usable < (os.cpu_count() or 1) else cores
