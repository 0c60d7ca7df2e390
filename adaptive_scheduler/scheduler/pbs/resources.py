"""What a job asks PBS for, and what a site has and limits, as pbsnodes and qstat show it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from adaptive_scheduler._common.checks import check_count
from adaptive_scheduler.errors import InvalidInputError, SchedulerUnavailableError
from adaptive_scheduler.executors.kinds import ON_ONE_NODE
from adaptive_scheduler.scheduler.command import Commands
from adaptive_scheduler.scheduler.pbs.queue import Attributes, parse_records
from adaptive_scheduler.scheduler.resources import Resources, seconds_of, words_of

#: A unit must be said: numbers alone are bytes to PBS, and megabytes to Slurm.
_MEMORY = re.compile(r"(\d+) *(?:([kmgtp])i?b?|b)", re.IGNORECASE | re.ASCII)
_WORD = re.compile(r"\S+")
#: Options by which users say the size of a job as a whole; ours would contradict them.
_SIZE = re.compile(r"(?:\S*,)?(?:select|nodes|ncpus|procs)=.*")
#: The same for the time: seconds, minutes and seconds, or hours, too.
_WALLTIME = re.compile(r"(?:\S*,)?walltime=(?P<time>[\d:]+)(?:[.,].*)?")

#: What PBS writes for a time: seconds, minutes and seconds, or hours, too.
_TIME = re.compile(r"[\d:]*\d(?:\.\d*)?", re.ASCII)

#: Options that we set for every job, or that would keep qsub from telling an id.
_REFUSED: Final = {
    "-N": "the manager names the jobs",
    "-J": "the manager decides on arrays",
    "-t": "the manager decides on arrays",
    "-o": "set `log_folder=...` instead",
    "-e": "set `log_folder=...` instead",
    "-j": "errors go where the output goes",
    "-k": "output is written where it stays",
    "-r": "jobs can be started again",
    "-I": "jobs have no terminal",
    "-z": "qsub must tell the ids of jobs",
    "-C": "the lines of the script begin with #PBS",
}
#: The jobs of another server are in none of the answers of the default one.
_OTHER_SERVER: Final = (
    "{!r} is a queue of another server. Say the server with the environment variable PBS_SERVER "
    "(in old versions PBS_DEFAULT), and the name of the queue alone."
)


@dataclass(frozen=True, kw_only=True)
class PbsResources(Resources):
    """What one job asks PBS for: chunks of cores, each on one node.

    Attributes
    ----------
    cores_per_node
        Cores of each chunk; None stands for all cores in one chunk.
    queue
        Where the job waits.
    memory
        For each chunk, such as ``"4gb"``; also ``"4G"``.
    select
        Chunks in the words of PBS, such as ``"2:ncpus=4:mpiprocs=4"``, instead
        of what follows from the others.
    """

    cores_per_node: int | None = None
    queue: str | None = None
    memory: str | None = None
    select: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("queue", "select"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, str) and _WORD.fullmatch(value)):
                raise InvalidInputError(f"`{name}` is a word as qsub takes it, not {value!r}.")
        if self.queue is not None and "@" in self.queue:
            raise InvalidInputError(_OTHER_SERVER.format(self.queue))
        if self.memory is not None:
            object.__setattr__(self, "memory", _memory(self.memory))
        if self.select is not None and self.memory is not None:
            raise InvalidInputError(
                f"Say the memory in `select`, too: '{self.select}:mem={self.memory}'."
            )
        self._check_nodes()
        for option in self.extra_scheduler:
            _check_option(option)

    def _check_nodes(self) -> None:
        cores = self.cores_per_node
        if cores is None:
            return
        check_count("cores_per_node", cores)
        if self.is_on_one_node and self.cores > cores:
            raise InvalidInputError(
                f"A job with the executor {self.executor_type!r} can use one node only, with "
                f"{cores} cores, but asks for {self.cores}. Use 'mpi4py'."
            )

    @property
    def is_on_one_node(self) -> bool:
        """Whether all cores must be on the same node."""
        return self.executor_type in ON_ONE_NODE

    def options(self, *, is_torque: bool = False) -> list[str]:
        """Return the options of qsub that ask for this, without `extra_scheduler`."""
        options = []
        if not any(_says_size(option) for option in self.extra_scheduler):
            options.append(f"-l {self._torque_nodes() if is_torque else self._chunks()}")
        if is_torque and self.memory is not None:
            options.append(f"-l mem={self.memory}")
        if self.time is not None and self._own_walltime is None:
            options.append(f"-l walltime={self.time}")
        if self.queue is not None:
            options.append(f"-q {self.queue}")
        return options

    @property
    def seconds(self) -> int | None:
        """How long the job may run, as far as it is known."""
        own = self._own_walltime
        if own is None:
            return None if self.time is None else seconds_of(self.time)
        return walltime_seconds(own)

    @property
    def has_default_walltime(self) -> bool:
        """Whether the site decides how long the job may run.

        It is not known with ``-l min_walltime=...`` either; there, PBS decides when it starts it.
        """
        return self.time is None and not any("walltime" in o for o in self.extra_scheduler)

    @property
    def _own_walltime(self) -> str | None:
        """The time that `extra_scheduler` asks for."""
        values = [value for option in self.extra_scheduler if (value := _listed(option))]
        matches = [match for value in values if (match := _WALLTIME.fullmatch(value))]
        return matches[-1]["time"] if matches else None

    @property
    def chunks(self) -> list[tuple[int, int]]:
        """How many nodes, and how many cores on each of these; the rest on another one."""
        if self.is_on_one_node or self.cores_per_node is None:
            return [(1, self.cores)]
        full, rest = divmod(self.cores, self.cores_per_node)
        chunks = [(full, self.cores_per_node), (1, rest)]
        return [(count, cores) for count, cores in chunks if count * cores > 0]

    def _chunks(self) -> str:
        if self.select is not None:
            return f"select={self.select}"
        # On several nodes each core is one line in the node file.
        processes = "" if self.is_on_one_node else ":mpiprocs={cores}"
        memory = "" if self.memory is None else f":mem={self.memory}"
        form = "{count}:ncpus={cores}" + processes + memory
        return "select=" + "+".join(form.format(count=n, cores=c) for n, c in self.chunks)

    def _torque_nodes(self) -> str:
        if self.select is not None:
            return f"nodes={self.select}"
        return "nodes=" + "+".join(f"{count}:ppn={cores}" for count, cores in self.chunks)

    def __str__(self) -> str:
        queue = "" if self.queue is None else f", queue {self.queue!r}"
        return f"{super().__str__()}{queue}"


def is_walltime(text: str) -> bool:
    """Whether a text is a time as PBS writes it."""
    return _TIME.fullmatch(text) is not None


def walltime_seconds(text: str) -> int:
    """Return the whole seconds of a time as PBS writes it: ``HH:MM:SS``, ``MM:SS`` or ``SS``."""
    seconds = 0
    for part in text.partition(".")[0].split(":"):
        seconds = 60 * seconds + int(part or 0)
    return seconds


def _memory(value: object) -> str:
    match = _MEMORY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise InvalidInputError(f"`memory` is a size such as '4gb', not {value!r}.")
    return f"{match[1]}{(match[2] or '').lower()}b"


def _check_option(option: str) -> None:
    words = words_of(option)
    if not words or not words[0].startswith("-"):
        raise InvalidInputError(
            f"`extra_scheduler` holds options such as '-l walltime=01:00:00', not {option!r}."
        )
    if reason := _REFUSED.get(words[0][:2]):
        raise InvalidInputError(f"`extra_scheduler` can't have {option!r}: {reason}.")
    if words[0].startswith("-q") and "@" in option:
        raise InvalidInputError(_OTHER_SERVER.format(option))
    if "block=" in option.lower():
        raise InvalidInputError(
            f"`extra_scheduler` can't have {option!r}: qsub would wait for the jobs to end."
        )


def _says_size(option: str) -> bool:
    return _SIZE.fullmatch(_listed(option)) is not None


def _listed(option: str) -> str:
    """Return what an option asks for with ``-l``; nothing if it is another one."""
    words = words_of(option)
    return (words[0][2:] or " ".join(words[1:2])) if words[0].startswith("-l") else ""


#: PBS's own default, for sites whose limit can't be read.
DEFAULT_MAX_ARRAY_SIZE = 10_000

_SERVER = ("qstat", "-B", "-f")
_QUEUES = ("qstat", "-Q", "-f")
#: How many cores a node has: as PBS says it, and as Torque does.
_CORES = re.compile(r"^ +(?:resources_available\.ncpus|np) = (\d+)$", re.MULTILINE)
_HOST = re.compile(r"^ +resources_available\.host = (\S+)$", re.MULTILINE)
_NODE = re.compile(r"^(?=\S)", re.MULTILINE)
#: How the limit for arrays is called, by PBS and by Torque.
_MAX_ARRAY_SIZE = ("max_array_size", "max_job_array_size")
_DEFAULT, _MAXIMUM = "resources_default.walltime", "resources_max.walltime"


def parse_nodes(stdout: str) -> dict[str, int]:
    """Read what pbsnodes prints: how many cores each node has.

    A site may divide a node into several that PBS counts one by one (vnodes);
    a chunk of a job can have cores of all of them. Nodes without cores, or of
    which none are told, are left out.
    """
    nodes: dict[str, int] = {}
    for part in _NODE.split(stdout):
        if cores := _CORES.search(part):
            host = _HOST.search(part)
            name = host[1] if host else part.partition("\n")[0].strip()
            nodes[name] = nodes.get(name, 0) + int(cores[1])
    return {name: cores for name, cores in nodes.items() if cores > 0}


def default_walltimes(
    queues: Mapping[str, Attributes], server: Attributes, *, is_torque: bool
) -> dict[str, int]:
    """Return how many seconds jobs may run that ask for no walltime, by the queue they are in.

    The first that is set counts: the default of the queue, that of the server,
    the longest time of the queue, that of the server. To Torque, the longest
    times are no defaults. Queues in which jobs may run for ever are left out.
    """
    walltimes = {}
    for name, queue in queues.items():
        said = [queue.get(_DEFAULT), server.get(_DEFAULT)]
        if not is_torque:
            said += [queue.get(_MAXIMUM), server.get(_MAXIMUM)]
        first = next(filter(None, said), "")
        if is_walltime(first):
            walltimes[name] = walltime_seconds(first)
    return walltimes


@dataclass
class PbsSite:
    """What has been read of a site; each is asked for once, when it is first needed.

    Attributes
    ----------
    commands
        What asks.
    """

    commands: Commands
    _nodes: dict[str, int] | None = None
    _server: Attributes | None = None
    _walltimes: dict[str, int] | None = None
    _version: str | None = None

    @property
    def is_torque(self) -> bool:
        """Whether the commands are Torque's, which has other options."""
        version = self._read_version()
        return "pbs_version" not in version and "version" in version.lower()

    @property
    def is_slurm(self) -> bool:
        """Whether the commands submit to Slurm, as those of Slurm's own that have these names."""
        return "Unknown option: version" in self._read_version()

    def _read_version(self) -> str:
        """Return what qsub says of its version; nothing if there is no answer."""
        if self._version is None:
            try:
                answer = self.commands.look(("qsub", "--version"))
            except SchedulerUnavailableError:
                return ""
            self._version = answer.stdout + answer.stderr
        return self._version

    @property
    def nodes(self) -> dict[str, int]:
        """How many cores each node has.

        Raises
        ------
        SchedulerUnavailableError
            If there is no answer.
        """
        if self._nodes is None:
            self._nodes = _read_nodes(self.commands)
        return self._nodes

    @property
    def cores_per_node(self) -> int:
        """As many cores as most nodes have; the smaller number of two that are as common.

        Raises
        ------
        SchedulerUnavailableError
            If there is no answer.
        """
        cores = sorted(self.nodes.values())
        return max(cores, key=cores.count)

    @property
    def max_array_size(self) -> int:
        """How many jobs an array may have; PBS's default where nobody says it."""
        try:
            server = self._read_server()
        except SchedulerUnavailableError:
            return DEFAULT_MAX_ARRAY_SIZE
        sizes = (server.get(name, "") for name in _MAX_ARRAY_SIZE)
        return next((int(size) for size in sizes if size.isdecimal()), DEFAULT_MAX_ARRAY_SIZE)

    @property
    def default_walltimes(self) -> dict[str, int]:
        """How many seconds jobs may run that ask for no walltime, by the queue they are in.

        It is empty where nobody says it.
        """
        if self._walltimes is None:
            try:
                queues = parse_records(self.commands.ask(_QUEUES), "Queue")
                server = self._read_server()
            except SchedulerUnavailableError:
                return {}
            self._walltimes = default_walltimes(queues, server, is_torque=self.is_torque)
        return self._walltimes

    def _read_server(self) -> Attributes:
        if self._server is None:
            servers = parse_records(self.commands.ask(_SERVER), "Server")
            self._server = next(iter(servers.values()), {})
        return self._server


def _read_nodes(commands: Commands) -> dict[str, int]:
    program = "pbsnodes" if shutil.which("pbsnodes") else "qnodes"  # Torque has either
    detailed = commands.look((program, "-av"))
    if nodes := parse_nodes(detailed.stdout):
        return nodes
    short = commands.look((program, "-a"))  # Torque, and some sites, have no -v
    if nodes := parse_nodes(short.stdout):
        return nodes
    words = short.stderr.strip() or "it shows none with cores"
    raise SchedulerUnavailableError(
        f"{program} does not tell how many cores the nodes have: {words}. "
        "For jobs on several nodes, say it with `cores_per_node=...`."
    )
