"""`DefaultScheduler` is what the machine has."""

from __future__ import annotations

import pytest

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.scheduler import PBS, SLURM, DefaultScheduler, Local


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Return a function that lets the machine have these commands and no others."""
    monkeypatch.delenv("SCHEDULER_SYSTEM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))

    def have(*names):
        for name in names:
            (tmp_path / name).touch(mode=0o755)

    return have


@pytest.mark.parametrize(
    ("there", "kind"),
    [((), Local), (("sbatch",), SLURM), (("qsub",), PBS), (("qsub", "sbatch"), SLURM)],
)
def test_it_is_what_is_there(commands, there, kind):
    commands(*there)
    assert type(DefaultScheduler(cores=1)) is kind


@pytest.mark.parametrize(("name", "kind"), [("SLURM", SLURM), ("pbs", PBS), ("Local", Local)])
def test_the_user_decides(commands, monkeypatch, name, kind):
    commands("qsub", "sbatch")
    monkeypatch.setenv("SCHEDULER_SYSTEM", name)
    assert type(DefaultScheduler(1)) is kind


def test_it_is_decided_when_it_is_used(commands):
    assert type(DefaultScheduler(1)) is Local
    commands("sbatch")
    assert type(DefaultScheduler(1)) is SLURM


def test_a_scheduler_that_there_is_not_is_refused(commands, monkeypatch):
    monkeypatch.setenv("SCHEDULER_SYSTEM", "LSF")
    with pytest.raises(InvalidInputError, match=r"'LSF', but there are: .*SLURM"):
        DefaultScheduler(1)


def test_arguments_are_passed_on(commands):
    commands("sbatch")
    assert DefaultScheduler(cores=3, partition="x").resources(0).partition == "x"
