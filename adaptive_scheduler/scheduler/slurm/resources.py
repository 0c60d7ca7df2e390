"""What a job asks Slurm for, and what a site offers and limits, as sinfo and scontrol show it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from adaptive_scheduler._common.checks import check_count
from adaptive_scheduler._common.formatting import counted
from adaptive_scheduler.errors import InvalidInputError, SchedulerUnavailableError
from adaptive_scheduler.executors.kinds import ON_ONE_NODE
from adaptive_scheduler.scheduler.command import Commands
from adaptive_scheduler.scheduler.resources import Resources, words_of
from adaptive_scheduler.scheduler.slurm.commands import slurm_commands

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
            words_of(option)  # raises if they are none
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
            if value is not None:
                check_count(name, value)
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


#: Slurm's own defaults, for sites whose configuration can't be read.
DEFAULT_MAX_ARRAY_SIZE = 1001
DEFAULT_MAX_JOB_COUNT = 10_000
#: An array is taken as a whole or not at all. So many of them make up `MaxJobCount`, so that
#: some are taken while the others wait for room.
_PARTS = 10
#: Indices that an array may have at least, where arrays are allowed at all.
_FEWEST = 10

_PARTITIONS = ("sinfo", "--noheader", "--all", "--exact", "--federation", "--format=%P|%c|%D")
_CONFIG = ("scontrol", "show", "config")


@dataclass(frozen=True)
class Partition:
    """A partition of a cluster.

    Attributes
    ----------
    name
        What it is called.
    is_default
        Whether jobs that ask for no partition go there.
    nodes
        Its nodes, as pairs: the cores of one, and how many of these there are.
    """

    name: str
    is_default: bool
    nodes: tuple[tuple[int, int], ...]

    @property
    def n_cores(self) -> int:
        """How many cores it has."""
        return sum(cores * count for cores, count in self.nodes)

    @property
    def cores_of_each_node(self) -> int:
        """How many cores every node has at least."""
        return min(cores for cores, _ in self.nodes)

    @property
    def cores_of_largest_node(self) -> int:
        """How many cores its largest node has."""
        return max(cores for cores, _ in self.nodes)

    def __str__(self) -> str:
        default = " (the default)" if self.is_default else ""
        most = self.cores_of_largest_node
        return f"partition {self.name}{default}: {self.n_cores} cores, at most {most} on a node"


def parse_partitions(stdout: str) -> dict[str, Partition]:
    """Read what sinfo prints, the default partition first."""
    nodes: dict[str, list[tuple[int, int]]] = {}
    default = ""
    for line in stdout.splitlines():
        match = re.fullmatch(r"(.+?)(\*?)\|(\d+)\+?\|(\d+)", line)
        if match is None:
            continue
        name, star, cores, count = match.groups()
        default = name if star else default
        nodes.setdefault(name, []).append((int(cores), int(count)))
    names = sorted(nodes, key=lambda name: name != default)
    return {name: Partition(name, name == default, tuple(nodes[name])) for name in names}


def parse_config(stdout: str) -> dict[str, str]:
    """Read what ``scontrol show config`` prints."""
    pairs = (line.partition("=") for line in stdout.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs if value}


class SlurmSite:
    """What has been read of a site; each is asked for once, when it is first needed.

    Parameters
    ----------
    commands
        What asks.
    """

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._config: dict[str, str] = {}
        self._partitions: dict[str, Partition] = {}

    @property
    def partitions(self) -> dict[str, Partition]:
        """All partitions by name, the default one first.

        Raises
        ------
        SchedulerUnavailableError
            If there is no answer.
        """
        if not self._partitions:
            self._partitions = parse_partitions(self._commands.ask(_PARTITIONS))
            if not self._partitions:
                raise SchedulerUnavailableError("sinfo shows no partition.")
        return self._partitions

    @property
    def config(self) -> dict[str, str]:
        """The configuration of the controller, by its own names.

        Raises
        ------
        SchedulerUnavailableError
            If there is no answer.
        """
        if not self._config:
            self._config = parse_config(self._commands.ask(_CONFIG))
        return self._config

    @property
    def array_size(self) -> int:
        """One more than the largest index that an array shall have; 0 where there are none.

        `MaxArraySize` limits it, and so does `MaxJobCount`: while there are so
        many jobs, sbatch waits for room for a whole array.
        """
        try:
            config = self.config
        except SchedulerUnavailableError:
            return DEFAULT_MAX_ARRAY_SIZE
        largest = _count(config, "MaxArraySize", DEFAULT_MAX_ARRAY_SIZE)
        n_jobs = _count(config, "MaxJobCount", DEFAULT_MAX_JOB_COUNT)
        return min(largest, max(n_jobs // _PARTS, _FEWEST) + 1)

    def chosen(self, names: str | None) -> list[Partition]:
        """Return the partitions in which a job may run that asks for these.

        Raises
        ------
        InvalidInputError
            If there is none of that name.
        SchedulerUnavailableError
            If there is no answer.
        """
        if names is None:
            return [p for p in self.partitions.values() if p.is_default]
        if unknown := [name for name in names.split(",") if name not in self.partitions]:
            raise InvalidInputError(
                f"There is no partition {unknown[0]!r} here. There are: "
                f"{', '.join(self.partitions)}."
            )
        return [self.partitions[name] for name in names.split(",")]

    def check(self, wanted: SlurmResources) -> None:
        """Check that a partition has as much as a job wants.

        Raises
        ------
        InvalidInputError
            If none has.
        SchedulerUnavailableError
            If there is no answer.
        """
        obstacles = [_obstacle(partition, wanted) for partition in self.chosen(wanted.partition)]
        if obstacles and all(obstacles):
            raise InvalidInputError(
                f"No job can get {wanted.cores} cores on {_nodes(wanted)}: {obstacles[0]}."
            )


def _count(config: dict[str, str], name: str, default: int) -> int:
    value = config.get(name, "")
    return int(value) if value.isdecimal() else default


def _obstacle(partition: Partition, wanted: SlurmResources) -> str:
    """Return why a job can't run in a partition; nothing if it can."""
    if wanted.is_on_one_node:
        largest = partition.cores_of_largest_node
        is_too_large, most = wanted.cores > largest, f"{counted(largest, 'core')} on a node"
    elif wanted.nodes is None:
        total = partition.n_cores
        is_too_large, most = wanted.cores > total, counted(total, "core")
    else:
        cores = wanted.cores // wanted.nodes
        count = sum(n for cores_there, n in partition.nodes if cores_there >= cores)
        is_too_large = wanted.nodes > count
        most = f"{counted(count, 'node')} of {counted(cores, 'core')}"
    return f"partition '{partition.name}' has no more than {most}" if is_too_large else ""


def _nodes(wanted: SlurmResources) -> str:
    if wanted.is_on_one_node:
        return "one node"
    return "any nodes" if wanted.nodes is None else f"{wanted.nodes} nodes"


def slurm_partitions(
    *, timeout: float = 5, with_ncores: bool = True
) -> dict[str, int | None] | list[str]:
    """Return the partitions of this cluster, the default one first.

    Parameters
    ----------
    timeout
        Seconds that sinfo gets.
    with_ncores
        Tell the number of cores, too, that each node of a partition has (the
        smallest of them).

    Raises
    ------
    SchedulerUnavailableError
        If there is no answer.
    """
    partitions = SlurmSite(slurm_commands(timeout)).partitions
    if not with_ncores:
        return list(partitions)
    return {name: partition.cores_of_each_node for name, partition in partitions.items()}
