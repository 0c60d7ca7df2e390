"""Promise 9 on a real Slurm cluster: moved projects go on, copies leave their originals alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler import RunManager
from adaptive_scheduler.cli import main
from adaptive_scheduler.run_folder.journal import read_beginning
from adaptive_scheduler.scheduler import SLURM
from adaptive_scheduler.scheduler.jobs import run_id_of
from tests.end_to_end.ledger import Noted
from tests.waiting import wait_until

N_LEARNERS, N_POINTS = 2, 10
#: Points of each learner that are computed before it waits at the gate.
FREE = 4
RUN = Path("run-run")


@pytest.fixture
def project(here, monkeypatch):
    """Return the folder of a project, in which this process is."""
    folder = here / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def learners(ledger, gate):
    functions = [Noted(ledger.path, i, free=FREE, gate=gate) for i in range(N_LEARNERS)]
    return [adaptive.SequenceLearner(function, range(N_POINTS)) for function in functions]


@pytest.fixture
def begin(project, start, learners, ledger):
    """Return a function that starts a run, leaves its jobs running, and returns their ids."""

    def begin():
        before = set(running())
        n_jobs = len(ledger.jobs())
        scheduler = SLURM(cores=1, executor_type="sequential", signal_before_end=0)
        start(learners, scheduler=scheduler).detach()
        wait_until(lambda: len(ledger.jobs()) == n_jobs + N_LEARNERS)
        wait_until(lambda: len(set(running()) - before) == N_LEARNERS)
        return set(running()) - before

    return begin


def running():
    """Return the run ids of running jobs by their own ids."""
    queue = SLURM(cores=1).queue().items()
    return {job_id: run_id_of(job["token"]) for job_id, job in queue if job["running"]}


def run_id(folder):
    return read_beginning(folder / "journal.jsonl").run_id


def check_finished(run):
    run.wait(timeout=120)
    assert run.status() == "finished"
    run.load_learners()
    assert [learner.npoints for learner in run.learners] == [N_POINTS] * N_LEARNERS


@pytest.mark.timeout(300)
def test_a_moved_run_goes_on_at_the_new_place(begin, project, here, ledger, gate):
    begin()
    before = run_id(RUN)
    project.rename(here / "moved")
    os.chdir("/")
    wait_until(lambda: not running())  # the jobs have seen that their place is gone
    gate.touch()
    run = RunManager.attach(here / "moved/run-run")
    check_finished(run)
    assert run_id(here / "moved/run-run") == before
    assert ledger.twice() == []
    assert not project.exists()


@pytest.mark.timeout(300)
def test_a_copy_that_is_started_leaves_the_jobs_to_its_original(begin, project, here, gate):
    jobs = begin()
    original = run_id(RUN)
    # Without its data, nobody could tell that the whole project was copied.
    wait_until(lambda: len(list(Path("data").glob("*.pickle"))) == N_LEARNERS)
    shutil.copytree(project, here / "copy")
    os.chdir(here / "copy")
    assert main(["cancel", str(RUN)]) == 1
    copy = RunManager.attach(RUN)
    assert not copy.is_started
    copy.start()
    wait_until(lambda: len(running()) == 2 * N_LEARNERS)
    own = run_id(here / "copy/run-run")
    assert own not in ("", original)
    assert [job_id for job_id, of in running().items() if of == original] == sorted(jobs)
    assert [of for job_id, of in running().items() if job_id not in jobs] == [own] * N_LEARNERS
    assert not jobs & set(copy.database_manager.state.jobs)
    copy.cancel()
    copy.wait(timeout=60)
    assert set(running()) == jobs
    gate.touch()
    check_finished(RunManager.attach(project / RUN))
    check_finished(copy.start())


@pytest.mark.timeout(300)
def test_who_cancels_a_renamed_run_leaves_the_new_one_of_its_name_alone(
    begin, project, ledger, capsys
):
    begin()
    RUN.rename("old-run")
    wait_until(lambda: not running())
    jobs = begin()
    before = (RUN / "journal.jsonl").read_bytes()
    assert main(["cancel", "old-run"]) == 0
    assert "is cancelled" in capsys.readouterr().out
    assert set(running()) == jobs
    assert (RUN / "journal.jsonl").read_bytes() == before
    assert main(["cancel", str(RUN)]) == 0
    wait_until(lambda: not running())
