"""The commands of ``python -m tests.cluster.slurm``."""

# ruff: noqa: T201  a command prints

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cluster.slurm import SlurmCluster
from tests.cluster.slurm_config import ClusterConfig


def main() -> int:
    """Do what the command line says, and return an exit code."""
    options = _parse()
    config = ClusterConfig(nodes=options.nodes, cpus=options.cpus)
    cluster = SlurmCluster(options.folder, config)
    try:
        return {"up": _up, "down": _down, "shell": _shell}[options.command](cluster)
    except (OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.slurm",
        description="A Slurm cluster on this machine, without root.",
    )
    parser.add_argument("command", choices=["up", "down", "shell"])
    parser.add_argument("--nodes", type=int, default=4, help="how many nodes (%(default)s)")
    parser.add_argument("--cpus", type=int, default=2, help="CPUs of each (%(default)s)")
    home = Path(tempfile.gettempdir()) / f"slurm-of-{os.getuid()}"
    parser.add_argument("--folder", type=Path, default=home, help="where it lies (%(default)s)")
    return parser.parse_args()


def _up(cluster: SlurmCluster) -> int:
    if cluster.processes():
        raise RuntimeError(f"There is a cluster in {cluster.folder} already.")
    if cluster.conf.exists():
        cluster.down()  # what is left of one that was not ended
    _begin(cluster)
    print(f"# A cluster with {cluster.config.nodes} nodes lives in {cluster.folder}. To use it:")
    for name, value in _changes(cluster).items():
        print(f"export {name}={shlex.quote(value)}")
    print(f"# Its end: python -m tests.cluster.slurm down --folder {cluster.folder}")
    return 0


def _begin(cluster: SlurmCluster) -> None:
    """Bring up the whole of a cluster, or leave nothing of it."""
    try:
        cluster.up()
    except BaseException:
        if cluster.conf.exists():
            cluster.down()
        raise


def _down(cluster: SlurmCluster) -> int:
    if not cluster.conf.exists():
        raise RuntimeError(f"There is no cluster in {cluster.folder}.")
    cluster.down()
    return 0


def _shell(cluster: SlurmCluster) -> int:
    is_new = not cluster.processes()
    if is_new:
        _begin(cluster)
    shell = os.environ.get("SHELL", "/bin/sh")
    print(f"sbatch, squeue and the others speak to {cluster.folder}; `exit` ends it.")
    try:
        environment = {**os.environ, **_changes(cluster)}
        return subprocess.run([shell], env=environment, check=False).returncode
    finally:
        if is_new:
            cluster.down()


def _changes(cluster: SlurmCluster) -> dict[str, str]:
    """Return the variables that have to change."""
    return {k: v for k, v in cluster.environment.items() if os.environ.get(k) != v}
