"""Programs of MPI are started by what belongs to their MPI."""

from __future__ import annotations

import pytest

from adaptive_scheduler.scheduler import SLURM, Local, launching
from adaptive_scheduler.scheduler.resources import Resources


def last_lines(scheduler):
    return scheduler.job_script({"run_folder": "/f"}).partition("\nexec ")[2]


@pytest.fixture
def mpi(monkeypatch):
    def pretend(version):
        monkeypatch.setattr(launching, "_mpi_version", lambda _python: version)

    return pretend


@pytest.mark.parametrize(
    ("version", "option"),
    [
        ("MPICH Version: 5.0.2", "--mpi=pmi2"),
        ("Intel(R) MPI Library 2021.13", "--mpi=pmi2"),
        ("Open MPI v5.0.8", "--mpi=pmix"),
    ],
)
def test_srun_speaks_what_the_installed_mpi_understands(mpi, version, option):
    mpi(version)
    lines = last_lines(SLURM(nodes=2, cores_per_node=2, executor_type="mpi4py"))
    assert lines.startswith(f"srun {option} ")
    assert " -n 4 " in lines


def test_an_unknown_mpi_is_left_to_the_site(mpi):
    mpi("")
    lines = last_lines(SLURM(nodes=2, cores_per_node=2, executor_type="mpi4py"))
    assert "--mpi" not in lines.partition("\n")[0]


def test_what_the_user_names_is_taken_with_its_options():
    scheduler = SLURM(
        nodes=2, cores_per_node=2, executor_type="mpi4py", mpiexec_executable="my run --mpi=x"
    )
    assert last_lines(scheduler).startswith("my run --mpi=x -n 4 ")


def test_the_mpiexec_beside_python_is_preferred(tmp_path):
    assert launching.local_mpiexec(str(tmp_path / "python")) == ["mpiexec"]
    (tmp_path / "mpiexec").touch()
    assert launching.local_mpiexec(str(tmp_path / "python")) == [str(tmp_path / "mpiexec")]
    (tmp_path / "mpiexec.hydra").touch()
    assert launching.local_mpiexec(str(tmp_path / "python"))[0].endswith("hydra")


@pytest.mark.parametrize("name", ["process-pool", "loky", "sequential"])
def test_all_else_is_started_once_and_plainly(name):
    scheduler = Local(cores=2, executor_type=name)
    assert scheduler.launch(Resources(cores=2, executor_type=name)) == launching.Launch()
    assert " -m adaptive_scheduler.run_learner" in last_lines(scheduler).partition("\n")[0]
