"""The scheduler of the tutorial keeps what every scheduler keeps, on a queue with real jobs."""

from __future__ import annotations

import fcntl
import sys
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler import RunManager
from adaptive_scheduler.errors import SubmissionRejectedError
from adaptive_scheduler.scheduler.command import Commands
from tests.scheduler.contract import IN_ITS_SESSION, SchedulerContract, alive, make_batch
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.system

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMANDS = ("toyinfo", "toysub", "toystat", "toydel", "toyends")


class ToySite:
    n_cores = 2
    odd_job_names = ("it's $HOME `pwd` π-数据", 'new\nline "a|b" %x', "-starts with a dash")
    import_line = (
        f"import sys; sys.path.insert(0, {str(EXAMPLES)!r})\n"
        "from toy_scheduler import ToyScheduler\ns = ToyScheduler(1)"
    )

    def __init__(self, spool, folder, monkeypatch):
        self.spool = spool
        self.folder = folder
        self.monkeypatch = monkeypatch

    def scheduler(self, kill_wait=None, **keywords):
        if kill_wait is not None:
            (self.spool / "kill_wait").write_text(str(kill_wait))
        return import_module("toy_scheduler").ToyScheduler(**{"cores": 1} | keywords)

    @contextmanager
    def hung(self):
        with self.monkeypatch.context() as patch, (self.spool / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            patch.setattr(Commands, "timeout", 1.0)
            yield

    @contextmanager
    def killed(self):
        down = self.spool / "down"
        down.touch()
        yield
        down.unlink()


@pytest.fixture
def site(tmp_path, monkeypatch):
    programs, spool = tmp_path / "bin", tmp_path / "spool"
    programs.mkdir()
    spool.mkdir()
    for name in COMMANDS:
        program = programs / name
        queue = EXAMPLES / "toy_queue.py"
        program.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{queue}' {name} \"$@\"\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setenv("TOY_SPOOL", str(spool))
    monkeypatch.syspath_prepend(EXAMPLES)
    site = ToySite(spool, tmp_path / "work", monkeypatch)
    yield site
    scheduler = site.scheduler(kill_wait=0)
    scheduler.cancel_ids(alive(scheduler))
    wait_until(lambda: not alive(scheduler))


class TestToyScheduler(SchedulerContract):
    """What differs is that the toy queue knows the processes of a job by their session."""

    workers = IN_ITS_SESSION


def test_it_is_short():
    assert len((EXAMPLES / "toy_scheduler.py").read_text().splitlines()) < 150


def test_runs_work_with_it(site):
    learners = [adaptive.SequenceLearner(lambda x: x**2, range(5)) for _ in range(3)]
    fnames = [site.folder / f"{i}.pickle" for i in range(3)]
    run = RunManager(site.scheduler(), learners, fnames, folder=site.folder, max_fails_per_job=1)
    run.start()
    run.wait(timeout=PATIENCE)
    run.load_learners()
    assert [learner.npoints for learner in learners] == [5, 5, 5]


def test_a_refusal_says_what_to_do(site):
    scheduler = site.scheduler(extra_scheduler=["--cores=3"])
    with pytest.raises(SubmissionRejectedError, match=r"cores: 3\n(.|\n)*`toyinfo` tells"):
        scheduler.submit(make_batch(scheduler, site.folder, "true"))
