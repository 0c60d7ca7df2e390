"""What a job asks Slurm for."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.executors.kinds import ON_ONE_NODE
from adaptive_scheduler.scheduler.resources import Resources

#: Options that would make sbatch speak to clusters at which nobody looks.
_OTHER_CLUSTERS = re.compile(r"--clusters?(=|\s|$)|-M")
#: Options whose value is a word.
_WORDS = ("partition", "memory", "account", "qos", "constraint", "gpus", "gres")


@dataclass(frozen=True, kw_only=True)
class SlurmResources(Resources):
    """What one job asks Slurm for: cores, or nodes with some cores each.

    Attributes
    ----------
    cores
        Cores in total. With `nodes` this follows from `cores_per_node`; until
        that is known, it is the number of nodes.
    nodes
        How many nodes; None leaves it to Slurm, or is one if the executor
        can't use more.
    cores_per_node
        Cores on each of them; None stands for all.
    partition
        One, or several with commas between them.
    memory
        For each node, such as ``"4G"``.
    exclusive
        Whether no other job may use the same nodes.
    account, qos, constraint, gpus, gres
        As the options of sbatch with these names.
    """

    cores: int = 0
    nodes: int | None = None
    cores_per_node: int | None = None
    partition: str | None = None
    memory: str | None = None
    exclusive: bool = False
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gpus: str | None = None
    gres: str | None = None

    def __post_init__(self) -> None:
        self._check_size()
        for name in _WORDS:
            value = getattr(self, name)
            if isinstance(value, int) and not isinstance(value, bool):
                value = str(value)
                object.__setattr__(self, name, value)
            if value is not None and not (isinstance(value, str) and re.fullmatch(r"\S+", value)):
                raise InvalidInputError(f"`{name}` is a word as sbatch takes it, not {value!r}.")
        if not isinstance(self.exclusive, bool):
            raise InvalidInputError(f"`exclusive` is True or False, not {self.exclusive!r}.")
        super().__post_init__()
        for option in self.extra_scheduler:
            _check_quotes(option)
            if _OTHER_CLUSTERS.match(option):
                raise InvalidInputError(
                    f"`extra_scheduler` has {option!r}, but jobs on other clusters can't be "
                    "watched from here. Log in to that cluster and start the run there."
                )
        if self.executor_type in ON_ONE_NODE and (self.nodes or 1) > 1:
            raise InvalidInputError(
                f"A job with the executor {self.executor_type!r} can use one node only, but "
                f"asks for {self.nodes}. Use 'mpi4py', 'dask' or 'ipyparallel'."
            )

    def _check_size(self) -> None:
        for name in ("nodes", "cores_per_node"):
            value = getattr(self, name)
            if value is not None and not _is_count(value):
                raise InvalidInputError(f"`{name}` is a positive whole number, not {value!r}.")
        if self.nodes is None and self.cores_per_node is not None:
            raise InvalidInputError("`cores_per_node` needs `nodes`, too.")
        if self.nodes is None and self.cores == 0:
            raise InvalidInputError(
                "How big is a job? Say `cores=...`, or `nodes=...` and `cores_per_node=...`."
            )
        if self.nodes is not None:
            if self.cores != 0:
                raise InvalidInputError("Say either `cores`, or `nodes` and `cores_per_node`.")
            object.__setattr__(self, "cores", self.nodes * (self.cores_per_node or 1))

    @property
    def is_on_one_node(self) -> bool:
        """Whether all cores must be on the same node."""
        return self.executor_type in ON_ONE_NODE

    def options(self) -> list[str]:
        """Return the options of sbatch that ask for this, without `extra_scheduler`."""
        named = {
            "partition": self.partition,
            "mem": self.memory,
            "time": self.time,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "gpus": self.gpus,
            "gres": self.gres,
        }
        return [
            *self._size(),
            *(f"--{name}={value}" for name, value in named.items() if value is not None),
            *(["--exclusive"] if self.exclusive else []),
        ]

    def _size(self) -> list[str]:
        if self.is_on_one_node:
            return ["--nodes=1", "--ntasks=1", f"--cpus-per-task={self.cores}"]
        if self.nodes is None:
            return [f"--ntasks={self.cores}"]
        return [f"--nodes={self.nodes}", f"--ntasks-per-node={self.cores // self.nodes}"]

    def __str__(self) -> str:
        partition = "" if self.partition is None else f", partition {self.partition!r}"
        return f"{super().__str__()}{partition}"


def _check_quotes(option: str) -> None:
    try:
        shlex.split(option)
    except ValueError as error:
        raise InvalidInputError(f"`extra_scheduler` has {option!r}: {error}.") from error


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
