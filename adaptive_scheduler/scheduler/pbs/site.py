"""What a site has and what it limits, as pbsnodes and qstat show it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler.command import Commands
from adaptive_scheduler.scheduler.pbs.queue import Attributes, parse_records
from adaptive_scheduler.scheduler.pbs.resources import is_walltime, walltime_seconds

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
