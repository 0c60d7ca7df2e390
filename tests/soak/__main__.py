"""Soak a run in faults: ``python -m tests.soak --seed 1 --faults 60``."""

# ruff: noqa: T201  a command prints

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import SystemRandom

from tests.cluster.pbs.cluster import FakePBS
from tests.cluster.slurm import temporary_cluster
from tests.nfs.guest import IN_GUEST, python_in_guest
from tests.nfs.server import EXPORT
from tests.soak.nfs_site import nfs_site
from tests.soak.pbs_site import PbsSite
from tests.soak.site import Site
from tests.soak.slurm_site import SlurmSite
from tests.soak.soak import CALM, Soak

_ROOT = Path(__file__).parents[2]
#: Says that network and mounts are this process's alone.
_ALONE = "ADAPTIVE_SCHEDULER_SOAK_ALONE"
#: What a network of one's own needs: programs that look for addresses ignore the loopback's.
_NETWORK = (
    "ip link set lo up && ip link add end0 type veth peer name end1 && "
    "ip address add 10.77.0.1/24 dev end0 && ip link set end0 up && ip link set end1 up"
)
#: Seconds that a guest takes to start and to end, on a busy machine.
_BOOT = 120.0
#: Room for data and run folder.
_DISK = "size=24m,mode=700"


def main() -> int:
    """Soak, print what came out, and return an exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=main.__doc__)
    parser.add_argument("--scheduler", choices=["slurm", "pbs"], default="slurm")
    nfs = "on hosts that share the run by NFS, in a guest with a kernel of its own; with PBS"
    parser.add_argument("--nfs", action="store_true", help=nfs)
    parser.add_argument("--seed", type=int, default=None, help="which soak; by default a new one")
    parser.add_argument("--faults", type=int, default=60, help="how many faults strike")
    parser.add_argument("--learners", type=int, default=200)
    parser.add_argument("--points", type=int, default=40, help="how many each learner has")
    calm = "seconds between two faults, at most; more where jobs start slowly"
    parser.add_argument("--calm", type=float, default=CALM, help=calm)
    parser.add_argument("--patience", type=float, default=1800, help="seconds for all of it")
    options = parser.parse_args()
    if options.nfs and IN_GUEST not in os.environ:
        code = python_in_guest(sys.orig_argv[1:], seconds=options.patience + _BOOT, say=_say)
        return 1 if code is None else code
    if not options.nfs and _ALONE not in os.environ and _may_be_alone():
        be_alone = ["unshare", "--net", "--mount", "sh", "-c", f'{_NETWORK} && exec "$@"']
        os.environ[_ALONE] = "1"
        os.execvp(be_alone[0], [*be_alone, "sh", *sys.orig_argv])
    seed = SystemRandom().randrange(1000) if options.seed is None else options.seed
    is_alone = _ALONE in os.environ
    if not is_alone and not options.nfs:
        print("Without the rights of root, disks are not filled, and the network is not cut.")
    os.environ["PYTHONPATH"] = str(_ROOT)
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as name,
        own_disk(Path(name) / "disk", is_alone=is_alone, is_nfs=options.nfs),
        temporary_site("nfs" if options.nfs else options.scheduler, Path(name)) as site,
    ):
        folder = Path(name)
        os.environ.update(site.environment)
        soak = Soak(
            site,
            folder,
            seed=seed,
            n_learners=options.learners,
            n_points=options.points,
            say=_say,
            owns_disk=is_alone or options.nfs,
            owns_network=is_alone,
            calm=options.calm,
        )
        report = soak.run(options.faults, options.patience)
    print(report)
    return bool(report.wrong or report.lost)


@contextlib.contextmanager
def temporary_site(name: str, folder: Path) -> Iterator[Site]:
    """Own a scheduler in a folder of its own."""
    if name == "slurm":
        with temporary_cluster() as cluster:
            yield SlurmSite(cluster)
        return
    pbs = FakePBS(folder / "pbs")
    try:
        if name == "nfs":
            with nfs_site(pbs, folder / "disk") as site:
                yield site
        else:
            yield PbsSite(pbs)
    finally:
        pbs.stop()


@contextlib.contextmanager
def own_disk(disk: Path, *, is_alone: bool, is_nfs: bool) -> Iterator[None]:
    """Make the folder of data and run, small and apart from all others where that can be done.

    Hosts that share it by NFS mount it there; this process sees what the server has.
    """
    disk.mkdir()
    if not is_alone and not is_nfs:
        yield
        return
    small = ["-t", "tmpfs", "-o", _DISK, "tmpfs"]
    subprocess.run(["mount", *(["--bind", EXPORT] if is_nfs else small), disk], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def _say(words: str) -> None:
    print(words, flush=True)


def _may_be_alone() -> bool:
    command = ["unshare", "--net", "--mount", "sh", "-c", _NETWORK]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(main())
