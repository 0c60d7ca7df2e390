"""The cluster of the tests begins and ends as a whole, whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import packages
from tests.cluster.packages import SlurmPrograms
from tests.cluster.slurm import ClusterConfig, SlurmCluster, temporary_cluster
from tests.waiting import wait_until

SMALL = ClusterConfig(nodes=1)
OWNER = """
import os, signal
from tests.cluster.slurm import ClusterConfig, temporary_cluster

with temporary_cluster(ClusterConfig(nodes=1)) as cluster:
    cluster.run("sbatch", "--output=/dev/null", "--wrap=trap '' TERM; touch $TMPDIR/on; sleep 100")
    print(cluster.folder, flush=True)
    {end}
"""
ROOT = Path(__file__).parents[2]


def by_hand(*arguments: str, **keywords) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.cluster.slurm", *arguments]
    keywords = {"cwd": ROOT, "text": True, "capture_output": True, "check": False, **keywords}
    return subprocess.run(command, **keywords)  # noqa: PLW1510  it is given


def test_nothing_is_left_of_a_cluster_after_an_error():
    clusters = []

    def fail():
        with temporary_cluster(SMALL) as cluster:
            clusters.append(cluster)
            cluster.run("sbatch", "--output=/dev/null", "--wrap=trap '' TERM; sleep 100")
            wait_until(cluster.job_processes)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    (cluster,) = clusters
    assert cluster.processes() == set()
    assert not cluster.folder.exists()


@pytest.mark.parametrize("end", ["SIGKILL", "SIGINT", "SIGTERM"])
def test_nothing_is_left_of_a_cluster_whose_owner_is_killed(end):
    code = OWNER.format(end=f"os.kill(os.getpid(), signal.{end})")
    owner = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=False
    )
    assert owner.returncode != 0
    cluster = SlurmCluster(Path(owner.stdout.strip()))
    wait_until(lambda: not cluster.folder.exists())
    assert cluster.processes() == set()


def test_a_cluster_can_be_used_by_hand():
    folder = Path(f"/tmp/by-hand-{os.getpid()}")
    up = by_hand("up", "--nodes=2", "--cpus=3", f"--folder={folder}", check=True)
    try:
        assert f"export SLURM_CONF={folder}/slurm.conf\n" in up.stdout
        cluster = SlurmCluster(folder)
        nodes = cluster.run("sinfo", "-h", "-N", "-p", "main", "-o", "%N %c").splitlines()
        assert nodes == ["n0 3", "n1 3"]
        again = by_hand("up", f"--folder={folder}")
        assert again.returncode == 1
        assert "already" in again.stderr
    finally:
        by_hand("down", f"--folder={folder}", check=True)
    assert not folder.exists()
    assert cluster.processes() == set()


def test_a_shell_in_a_cluster_ends_with_it():
    folder = Path(f"/tmp/shell-{os.getpid()}")
    environment = {**os.environ, "SHELL": "/bin/sh"}
    shell = by_hand(
        "shell", "--nodes=1", f"--folder={folder}", input="sinfo -h -N\nexit\n", env=environment
    )
    assert "n0 " in shell.stdout
    assert not folder.exists()


@pytest.mark.parametrize("command", ["up", "shell"])
def test_nothing_is_left_of_a_cluster_that_can_not_begin(tmp_path, command):
    broken = tmp_path / "slurmd"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    folder = Path(f"/tmp/broken-{os.getpid()}")
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    failed = by_hand(command, "--nodes=1", f"--folder={folder}", env=environment)
    assert failed.returncode == 1
    assert "slurmd of the cluster" in failed.stderr
    assert SlurmCluster(folder).processes() == set()
    assert not folder.exists()


def test_a_folder_without_a_cluster_is_left_alone(tmp_path):
    (tmp_path / "precious").touch()
    assert by_hand("down", f"--folder={tmp_path}").returncode == 1
    assert (tmp_path / "precious").exists()


def test_who_has_no_slurm_hears_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(SlurmPrograms, "search_path", str(tmp_path))
    monkeypatch.setattr(packages, "CACHE", tmp_path)
    assert not packages.installed_programs().are_complete()
    with pytest.raises(FileNotFoundError, match="apt-get install slurm-wlm munge"):
        SlurmCluster(tmp_path / "cluster").up()


def test_calls_are_counted(slurm):
    with slurm.counted() as calls:
        subprocess.run(["squeue", "--noheader"], check=True)
        subprocess.run(["sbatch", "--hold", "--output=/dev/null", "--wrap=true"], check=True)
        subprocess.run(["squeue", "--noheader"], check=True)
    assert calls == {"squeue": 2, "sbatch": 1}


def test_a_renewed_cluster_is_as_new(slurm):
    slurm.run("sbatch", "--array=0-20", "--output=/dev/null", "--wrap=trap '' TERM; sleep 100")
    wait_until(slurm.job_processes)
    slurm.lose_node("n1")
    slurm.kill("slurmctld")
    slurm.renew()
    assert slurm.run("squeue", "--noheader") == ""
    assert slurm.job_processes() == set()
    assert slurm.is_ready()


@pytest.mark.parametrize("trouble", ["controller_stopped", "controller_down"])
def test_jobs_survive_a_controller_in_trouble(slurm, trouble):
    slurm.run("sbatch", "--output=/dev/null", "--wrap=sleep 100")
    wait_until(slurm.job_processes)
    with getattr(slurm, trouble)():
        assert slurm.run("squeue", "--noheader", check=False) == ""
    assert slurm.run("squeue", "--noheader", "--format=%T") == "RUNNING\n"


def test_ctrl_c_is_not_for_the_cluster(slurm):
    assert os.getsid(0) not in [os.getsid(pid) for pid in slurm.processes()]
