"""A project that is moved or deleted while jobs run: no point is lost, nothing is made again."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler import RunManager
from adaptive_scheduler.learners.paths import Project
from adaptive_scheduler.learners.rescue import add_rescued, node_rescue
from adaptive_scheduler.run_folder.journal import read_beginning
from adaptive_scheduler.scheduler import Local
from tests.end_to_end import programs
from tests.end_to_end.looking import said, send, wait_for_empty_queue
from tests.end_to_end.sites import BOTH_SITES
from tests.waiting import wait_until

#: Points that a job computes before it waits at the gate.
FREE = 4
N_POINTS = 10

END = "run.start()\nrun.wait()\nprint(run.status())\n"


@pytest.fixture
def project(here, monkeypatch):
    """Return the folder of a project, in which this process is."""
    folder = here / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def text(here, site):
    """Return a program. What it writes down lies outside of the project: it is not moved."""
    text = programs.program(
        n_learners=1, n_points=N_POINTS, free=FREE, scheduler=site.scheduler_text(), end=END
    )
    of_itself = 'Path(__file__).parent if "__file__" in globals() else Path.cwd()'
    assert of_itself in text
    return text.replace(of_itself, f"Path({str(here)!r})")


@pytest.fixture
def running_job(project, ledger, text):
    """Have a job run, and no manager any more; return the id of its run."""
    manager = programs.start(text)
    wait_until(lambda: len(ledger.begun()) > FREE)
    wait_until(lambda: n_saved(project) == FREE)
    send(signal.SIGKILL, [manager.pid])
    programs.finish(manager)
    return read_beginning(project / "run-run/journal.jsonl").run_id


def learner():
    return adaptive.SequenceLearner(float, list(range(N_POINTS)))


def n_saved(project):
    found = learner()
    if (project / "data/0.pickle").exists():
        found.load(project / "data/0.pickle")
    return found.npoints


def n_rescued(*folders):
    found = learner()
    add_rescued([found], [Project.here().resolve("data/0.pickle")], folders)
    return found.npoints


@BOTH_SITES
def test_a_job_of_a_moved_project_keeps_its_points_there_and_ends(here, site, project, running_job):
    moved = here / "moved"
    project.rename(moved)
    wait_for_empty_queue(site)
    assert not project.exists()
    assert n_rescued(moved / "run-run/rescue") == FREE
    assert not node_rescue(running_job).exists()
    (line,) = said("the place of this job is gone", moved / "run-run/logs")
    assert "was moved or deleted" in line["reason"]


@BOTH_SITES
def test_a_job_of_a_deleted_project_keeps_its_points_on_its_node(here, site, project, running_job):
    os.chdir(here)
    shutil.rmtree(project)
    wait_for_empty_queue(site)
    assert not project.exists()
    folder = node_rescue(running_job)
    try:
        assert folder.parent == Path(tempfile.gettempdir())
        assert n_rescued(folder) == FREE
    finally:
        shutil.rmtree(folder)


@BOTH_SITES
def test_a_data_folder_that_was_renamed_is_not_made_again_by_its_job_and_the_next_goes_on(
    *, here, site, project, running_job, ledger, text
):
    (project / "data").rename(project / "old data")
    wait_for_empty_queue(site)
    assert not (project / "data").exists()
    assert n_rescued(project / "run-run/rescue") == FREE
    (here / "gate").touch()
    assert programs.run(text) == "finished\n"
    assert n_saved(project) == N_POINTS
    assert ledger.twice() == []


def test_rescued_points_are_loaded_and_the_user_is_told(project, running_job):
    (project / "data").rename(project / "old data")
    wait_for_empty_queue()
    run = RunManager(Local(1), [learner()], ["data/0.pickle"], job_name="run", quiet=True)
    with pytest.warns(UserWarning, match=f"has brought {FREE} points of a job whose folder"):
        run.load_learners()
    assert run.learners[0].npoints == FREE
    run.remove_existing_data()  # begun anew, the run knows nothing of them
    again = RunManager(Local(1), [learner()], ["data/0.pickle"], job_name="run", quiet=True)
    again.load_learners()
    assert again.learners[0].npoints == 0


def test_a_run_folder_that_another_one_took_the_place_of_is_left_alone(project, running_job):
    (project / "run-run").rename(project / "old-run")
    (project / "run-run").mkdir()
    wait_for_empty_queue()
    assert list((project / "run-run").iterdir()) == []
    assert n_rescued(project / "old-run/rescue") == FREE
