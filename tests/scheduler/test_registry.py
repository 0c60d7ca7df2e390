"""Schedulers are written down as data, and found again by a short name."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.scheduler import (
    PBS,
    SLURM,
    BaseScheduler,
    DefaultScheduler,
    Local,
    LocalMockScheduler,
)
from adaptive_scheduler.scheduler.registry import from_data, scheduler_class


@pytest.mark.parametrize(
    ("scheduler", "kind"),
    [
        (SLURM(cores=4, partition="long"), SLURM),
        (PBS(4, queue="long"), PBS),
        (Local(4), Local),
        (LocalMockScheduler(4), Local),
    ],
)
def test_a_scheduler_comes_back_from_its_data(scheduler, kind):
    data = json.loads(json.dumps(scheduler.as_data()))
    assert type(from_data(data)) is kind
    assert from_data(data).as_data() == data


def test_the_data_tell_which_queue_it_is(monkeypatch):
    monkeypatch.setenv("SLURM_CONF", "/etc/other.conf")
    monkeypatch.setenv("PBS_SERVER", "other")
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCAL_DIR", "/scratch/me")
    assert SLURM(cores=1).as_data() == {
        "kind": "slurm",
        "conf": "/etc/other.conf",
        "clusters": None,
    }
    assert PBS(1).as_data()["server"] == "other"
    assert Local(1).as_data()["folder"] == "/scratch/me"


class OfTheUser(Local):
    """Does something else than `Local`, under no name."""


def test_a_class_without_a_name_of_its_own_is_not_taken_for_another():
    data = OfTheUser().as_data()
    assert data == {"kind": "", "class": "OfTheUser"}
    with pytest.raises(InvalidInputError, match=r"OfTheUser.*RunManager\.attach"):
        from_data(data)


@pytest.mark.parametrize("data", [{}, {"kind": None}, {"kind": 7}])
def test_what_are_no_data_of_a_scheduler_is_refused(data):
    with pytest.raises(InvalidInputError, match="not of a scheduler"):
        from_data(data)


@pytest.mark.parametrize("kind", ["os", "os:system", "adaptive_scheduler.scheduler.Local", "LOCAL"])
def test_a_name_is_looked_up_and_not_imported(kind):
    with pytest.raises(InvalidInputError, match=r"no kind of scheduler.*slurm, pbs, local"):
        from_data({"kind": kind})


@pytest.mark.system
def test_packages_announce_schedulers_of_theirs(tmp_path):
    (tmp_path / "of_a_site.py").write_text(
        textwrap.dedent(
            """
            from adaptive_scheduler.scheduler import Local

            class OfASite(Local):
                kind = "of-a-site"
            """
        )
    )
    about = tmp_path / "of_a_site-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: of-a-site\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[adaptive_scheduler.schedulers]\nof-a-site = of_a_site:OfASite\n"
    )
    code = """
        from adaptive_scheduler.scheduler import DefaultScheduler
        from adaptive_scheduler.scheduler.registry import from_data
        print(type(from_data({"kind": "of-a-site", "folder": None})).__name__)
        print(type(DefaultScheduler(1)).__name__)
        from adaptive_scheduler.cli import make_parser
        print(make_parser().parse_args(["doctor", "--scheduler", "of-a-site"]).scheduler)
    """
    said = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={"PYTHONPATH": str(tmp_path), "SCHEDULER_SYSTEM": "OF-A-SITE"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "OfASite\nOfASite\nOF-A-SITE\n"


def test_each_kind_is_the_one_of_its_class():
    for kind in ("slurm", "pbs", "local"):
        found = scheduler_class(kind)
        assert issubclass(found, BaseScheduler)
        assert found.kind == kind


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
