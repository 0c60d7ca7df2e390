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
from tests.soak.pbs_site import PbsSite
from tests.soak.site import Site
from tests.soak.slurm_site import SlurmSite
from tests.soak.soak import Soak

_ROOT = Path(__file__).parents[2]
#: Says that network and mounts are this process's alone.
_ALONE = "ADAPTIVE_SCHEDULER_SOAK_ALONE"
#: What a network of one's own needs: programs that look for addresses ignore the loopback's.
_NETWORK = (
    "ip link set lo up && ip link add end0 type veth peer name end1 && "
    "ip address add 10.77.0.1/24 dev end0 && ip link set end0 up && ip link set end1 up"
)
#: Room for data and run folder.
_DISK = "size=24m,mode=700"


def main() -> int:
    """Soak, print what came out, and return an exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=main.__doc__)
    parser.add_argument("--scheduler", choices=["slurm", "pbs"], default="slurm")
    parser.add_argument("--seed", type=int, default=None, help="which soak; by default a new one")
    parser.add_argument("--faults", type=int, default=60, help="how many faults strike")
    parser.add_argument("--learners", type=int, default=200)
    parser.add_argument("--points", type=int, default=40, help="how many each learner has")
    parser.add_argument("--patience", type=float, default=1800, help="seconds for all of it")
    options = parser.parse_args()
    if _ALONE not in os.environ and _may_be_alone():
        be_alone = ["unshare", "--net", "--mount", "sh", "-c", f'{_NETWORK} && exec "$@"']
        os.environ[_ALONE] = "1"
        os.execvp(be_alone[0], [*be_alone, "sh", *sys.orig_argv])
    seed = SystemRandom().randrange(1000) if options.seed is None else options.seed
    is_alone = _ALONE in os.environ
    if not is_alone:
        print("Without the rights of root, disks are not filled, and the network is not cut.")
    os.environ["PYTHONPATH"] = str(_ROOT)
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as name,
        temporary_site(options.scheduler, Path(name)) as site,
    ):
        folder = Path(name)
        (folder / "disk").mkdir()
        os.environ.update(site.environment)
        if is_alone:
            disk = ["mount", "-t", "tmpfs", "-o", _DISK, "tmpfs", str(folder / "disk")]
            subprocess.run(disk, check=True)
        soak = Soak(
            site,
            folder,
            seed=seed,
            n_learners=options.learners,
            n_points=options.points,
            say=lambda words: print(words, flush=True),
            owns_disk=is_alone,
            owns_network=is_alone,
        )
        try:
            report = soak.run(options.faults, options.patience)
        finally:
            if is_alone:
                subprocess.run(["umount", "--lazy", str(folder / "disk")], check=True)
    print(report)
    return bool(report.wrong or report.lost)


@contextlib.contextmanager
def temporary_site(name: str, folder: Path) -> Iterator[Site]:
    """Own a scheduler in a folder of its own."""
    if name == "slurm":
        with temporary_cluster() as cluster:
            yield SlurmSite(cluster)
    else:
        pbs = FakePBS(folder / "pbs")
        try:
            yield PbsSite(pbs)
        finally:
            pbs.stop()


def _may_be_alone() -> bool:
    command = ["unshare", "--net", "--mount", "sh", "-c", _NETWORK]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(main())
