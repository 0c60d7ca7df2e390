"""A PBS whose hosts share a disk by NFS: the manager's, and two that run jobs."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

from tests.cluster.pbs.cluster import FakePBS
from tests.nfs.hosts import Host
from tests.soak.pbs_site import PbsSite
from tests.soak.site import Fault, some_seconds

#: Jobs that run at the same time: a guest has one core, and is slow to start them.
_NODES = {f"node-{i}": 2 for i in range(2)}
#: Seconds that a job has to save when it is told to end; a guest is slow.
_KILL_DELAY = 30.0


class NfsSite(PbsSite):
    """The fake PBS on several hosts.

    Parameters
    ----------
    pbs
        The PBS.
    hosts
        That of the manager, and those of jobs.
    """

    def __init__(self, pbs: FakePBS, hosts: Sequence[Host]) -> None:
        super().__init__(pbs)
        pbs.set(nodes=_NODES, kill_delay=_KILL_DELAY)
        self._hosts = hosts
        _spread_jobs(pbs.folder / "bin" / "mom", hosts[1:])

    @property
    def on_the_managers_host(self) -> Sequence[str]:
        """The beginning of a command that runs where the manager does."""
        return self._hosts[0].enter()

    def faults(self, random: Random, job: Callable[[], list[int]]) -> dict[str, Fault]:
        """Return the faults that it has, by name."""

        def cut_off() -> Iterator[float]:
            host = random.choice(self._hosts)
            host.pull_cable()
            yield some_seconds(random)
            host.plug_cable()

        return {**super().faults(random, job), "a host is cut off": cut_off}


@contextmanager
def nfs_site(pbs: FakePBS, disk: Path) -> Iterator[NfsSite]:
    """Set up the hosts, which have the shared disk at `disk`."""
    with ExitStack() as at_end:
        hosts = [Host(number, disk) for number in range(3)]
        for host in hosts:
            at_end.callback(host.close)
        yield NfsSite(pbs, hosts)


def _spread_jobs(mom: Path, hosts: Sequence[Host]) -> None:
    """Have jobs run on several hosts in turn, by the numbers in their ids."""
    real = mom.rename(mom.with_name("mom-here"))
    cases = [
        f'    {i}) exec {shlex.join([*host.enter(), str(real)])} "$@" ;;'
        for i, host in enumerate(hosts)
    ]
    lines = [
        "#!/bin/sh",
        f'case $(( $(printf %s "$1" | tr -dc 0-9) % {len(hosts)} )) in',
        *cases,
        "esac",
    ]
    mom.write_text("\n".join([*lines, ""]))
    mom.chmod(0o755)
