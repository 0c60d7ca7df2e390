"""Fixtures for tests with real jobs, each in a folder and with a queue of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from adaptive_scheduler import RunManager
from adaptive_scheduler.scheduler import Local
from tests.end_to_end.ledger import Ledger
from tests.end_to_end.sites import Site

ROOT = Path(__file__).parents[2]

#: Short enough for tests that wait for what is done now and then.
QUICK = {"job_manager_interval": 1, "log_interval": 1, "save_interval": 1}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, local_spool):
    """Give each test a working folder of its own, and let its jobs import `tests`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


@pytest.fixture
def site(request):
    """Return where jobs run: on this machine, unless the test is for `BOTH_SITES`."""
    name = getattr(request, "param", "local")
    if name == "slurm":
        request.getfixturevalue("slurm")
    return Site(name)


@pytest.fixture
def ledger(here):
    return Ledger(here / "ledger")


@pytest.fixture
def gate(here):
    """Return a file that does not exist yet; functions wait until it does."""
    return here / "gate"


@pytest.fixture
def make_run(here, site):
    """Return a function that makes runs; those that are not over are left when the test is.

    That is before their site is gone: else they would submit more jobs to the next cluster.
    """
    runs = []

    def make(learners, fnames=None, *, cores=1, max_cores=2, scheduler=None, **keywords):
        run = RunManager(
            scheduler or Local(cores, max_cores=max_cores, kill_wait=20),
            learners,
            fnames or [f"data/{i}.pickle" for i in range(len(learners))],
            **{"job_name": "run", "quiet": True, **QUICK, **keywords},
        )
        runs.append(run)
        return run

    yield make
    for run in runs:
        run.detach()
