"""The table of learners reads what has changed, and nothing else."""

from __future__ import annotations

from adaptive_scheduler.widgets.tables import FollowedJobs, FollowedLearners
from tests.widgets.fake_run import FakeRun


def test_a_row_says_what_its_job_has_told(tmp_path):
    run = FakeRun(tmp_path)
    job = run.job(1)
    job.status(npoints=25, latest_loss=0.5, cpu_usage=80.0, mem_usage=1.5)
    table = FollowedLearners(run.view)
    table.update()
    row = table.columns.row(1)
    assert (row["state"], row["npoints"], row["loss"], row["progress"]) == (
        "running",
        25,
        0.5,
        0.25,
    )
    assert (row["job"], row["node"], row["attempts"]) == ("1", "node1", 1)
    assert (row["cpu"], row["memory"]) == (80.0, 1.5)
    assert table.columns.row(0)["state"] == "ready"


def test_errors_are_shown_in_one_line(tmp_path):
    run = FakeRun(tmp_path, max_fails=1)
    run.job(0).failed(error="ValueError:\n no value", traceback="...")
    table = FollowedLearners(run.view)
    table.update()
    assert table.columns.row(0)["error"] == "ValueError: no value"
    assert table.columns.row(0)["state"] == "failed"


def test_only_what_has_changed_is_read_and_travels(tmp_path):
    run = FakeRun(tmp_path, n_learners=5000)
    table = FollowedLearners(run.view)
    table.update()
    table.columns.whole()
    job = run.job(4321)
    job.status(npoints=1)
    table.update()
    message, buffers = table.columns.changes()
    assert "running" in message["texts"][0]
    assert sum(buffer.nbytes for buffer in buffers) < 100


def test_nonsense_from_a_job_is_shown_as_nothing(tmp_path):
    run = FakeRun(tmp_path)
    run.job(0).status(npoints="many", latest_loss=True, cpu_usage=None)
    table = FollowedLearners(run.view)
    table.update()
    row = table.columns.row(0)
    assert (row["npoints"], row["loss"], row["cpu"]) == (None, None, None)


def test_a_run_with_another_state_is_followed(tmp_path):
    run, other = FakeRun(tmp_path), FakeRun(tmp_path)
    table = FollowedLearners(run.view)
    table.update()
    other.job(2)
    run.database_manager, run.monitor = other.database_manager, other.monitor
    table.update()
    assert table.columns.row(2)["state"] == "running"


def test_jobs_are_read_anew_when_they_have_changed(tmp_path):
    run = FakeRun(tmp_path)
    run.job(1)
    table = FollowedJobs(run.view)
    table.update()
    row = table.columns.row(0)
    assert (row["job_id"], row["job_name"], row["learner"]) == ("1", "sweep-1", 1)
    table.columns.whole()
    table.update()
    assert table.columns.changes() is None
