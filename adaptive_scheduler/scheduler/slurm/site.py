"""What a site offers and what it limits, as sinfo and scontrol show it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from adaptive_scheduler._common.formatting import counted
from adaptive_scheduler.errors import InvalidInputError, SchedulerUnavailableError
from adaptive_scheduler.scheduler.command import Commands
from adaptive_scheduler.scheduler.slurm.commands import slurm_commands
from adaptive_scheduler.scheduler.slurm.resources import SlurmResources

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
