"""Relative names start from where the run was made, whoever changes directory later."""

from __future__ import annotations

import os

import adaptive
import pytest

from adaptive_scheduler import RunManager, slurm_run
from adaptive_scheduler.errors import DataFileError
from adaptive_scheduler.scheduler import Local
from tests.end_to_end.changing_directory import (
    ChangesDirectory,
    GoalThatChangesDirectory,
    read_marker,
)
from tests.end_to_end.looking import saved_points
from tests.end_to_end.sites import BOTH_SITES
from tests.waiting import PATIENCE

N_POINTS = 16


@pytest.fixture
def elsewhere(here):
    folder = here / "elsewhere"
    folder.mkdir()
    return folder


def line(function=float, loss=None):
    return adaptive.Learner1D(function, (0, 1), loss_per_interval=loss)


def finished(run):
    run.start()
    run.wait(timeout=PATIENCE)
    assert run.status() == "finished"
    return run


# In the job.


@pytest.mark.parametrize(
    ("site", "executor_type"),
    [
        ("local", "sequential"),
        ("local", "process-pool"),
        pytest.param("slurm", "sequential", marks=pytest.mark.cluster),
    ],
    indirect=["site"],
)
@pytest.mark.parametrize("who", ["function", "goal", "loss", "initializer"])
def test_users_code_may_change_directory_in_a_job(
    *, make_run, site, here, elsewhere, who, executor_type
):
    learner = line(
        ChangesDirectory(elsewhere) if who == "function" else float,
        ChangesDirectory(elsewhere, 1.0) if who == "loss" else None,
    )
    run = make_run(
        [learner],
        goal=GoalThatChangesDirectory(elsewhere, N_POINTS) if who == "goal" else N_POINTS,
        initializers=[ChangesDirectory(elsewhere, 0)] if who == "initializer" else None,
        scheduler=site.scheduler(executor_type=executor_type),
        save_dataframe=True,
        check_goal_on_start=False,
    )
    os.chdir(here)
    finished(run)
    assert len(saved_points(learner, here / "data/0.pickle")) >= N_POINTS
    assert len(run.load_dataframes()) >= N_POINTS
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("executor_type", ["sequential", "process-pool", "dask"])
def test_the_next_learner_of_a_job_begins_where_jobs_begin(
    make_run, here, elsewhere, executor_type
):
    (here / "marker").write_text("2")
    run = make_run(
        [line(ChangesDirectory(elsewhere)), line(read_marker)],
        goal=N_POINTS,
        scheduler=Local(1, max_cores=1, executor_type=executor_type),
        max_fails_per_job=1,
    )
    finished(run)
    assert len(set(run.get_database()["log_fname"])) == 1  # one job had both


# Where the manager is.


@BOTH_SITES
def test_the_notebook_may_change_directory_at_any_time(make_run, site, here, elsewhere):
    run = make_run(
        [line(), line()],
        goal=N_POINTS,
        folder="runs/first",
        db_fname="record.json",
        scheduler=site.scheduler(log_folder="my logs", batch_folder="my scripts"),
        save_dataframe=True,
    )
    os.chdir(elsewhere)
    finished(run)
    for name in ("data/1.pickle", "data/dataframe.1.pickle", "record.json", "runs/first/lock"):
        assert (here / name).exists()
    assert len(list((here / "my logs").glob("*.log"))) == 2
    assert list((here / "my scripts").iterdir())
    run.load_learners()
    assert all(learner.npoints >= N_POINTS for learner in run.learners)
    assert sorted(set(run.load_dataframes()["fname"])) == ["data/0.pickle", "data/1.pickle"]
    assert list(run.get_database()["fname"]) == ["data/0.pickle", "data/1.pickle"]
    assert run.fnames == ["data/0.pickle", "data/1.pickle"]
    run.cleanup()
    assert not list((here / "my logs").iterdir())
    assert len(list((here / "runs/first/old_logs").glob("*.log"))) == 2
    os.chdir("/")
    assert finished(run)  # started again, it finds what it has done
    assert list(map(str, run.remove_existing_data(move_to="old data"))) == run.fnames
    assert sorted(path.name for path in (here / "old data").iterdir()) == ["0.pickle", "1.pickle"]
    assert list(elsewhere.iterdir()) == []


def test_learners_that_are_done_already_are_saved_where_they_belong(make_run, here, elsewhere):
    learner = line()
    run = make_run([learner], goal=3)
    for x in (0, 0.5, 1):
        learner.tell(x, x)
    os.chdir(elsewhere)
    finished(run)
    assert saved_points(learner, here / "data/0.pickle") == {0, 0.5, 1}
    assert list(elsewhere.iterdir()) == []


def test_a_learner_is_replaced_with_its_points_unless_its_own_file_has_them(
    make_run, here, elsewhere
):
    run = finished(make_run([line()], goal=2))
    os.chdir(elsewhere)
    (elsewhere / "data").mkdir()
    (elsewhere / "data/0.pickle").touch()
    (here / "data/0.pickle").unlink()
    better = line()
    for x in (0, 0.5, 1):
        better.tell(x, x)
    run.database_manager.replace_learner(0, better)
    from adaptive_scheduler.learners.pack import Pack

    assert Pack(run.run_folder.pack).read(0).learner.npoints == 3


def test_errors_name_files_as_the_user_does(make_run, here, elsewhere):
    run = make_run([line()], goal=2)
    (here / "data/0.pickle").mkdir(parents=True)
    os.chdir(elsewhere)
    with pytest.raises(DataFileError, match=r"^data/0\.pickle can't be read"):
        run.load_learners()


def test_names_stay_as_they_were_given(make_run, here):
    names = ["data/0.pickle", f"{here}/data/1.pickle", here / "data/2.pickle"]
    run = finished(make_run([line()] * 3, names, goal=2))
    assert run.fnames == names
    assert list(run.get_database()["fname"]) == [str(name) for name in names]
    make_run([line()] * 3, [f"data/{i}.pickle" for i in range(3)]).database_manager.check_record()


def test_from_another_folder_a_run_knows_its_files_and_calls_them_as_before(
    make_run, here, elsewhere
):
    finished(make_run([line()], goal=N_POINTS, save_dataframe=True))
    os.chdir(elsewhere)
    run = RunManager.attach("../run-run")
    assert run.project.folder == here
    assert run.fnames == ["data/0.pickle"]
    run.load_learners()
    assert run.learners[0].npoints >= N_POINTS
    assert set(run.load_dataframes()["fname"]) == {"data/0.pickle"}
    os.chdir("/")
    again = RunManager.attach(here / "run-run", goal=2 * N_POINTS)
    again.wait(timeout=PATIENCE)
    assert len(saved_points(again.learners[0], here / "data/0.pickle")) >= 2 * N_POINTS
    assert list(elsewhere.iterdir()) == []


def test_folders_of_runs_with_slurm_start_from_where_they_were_made(here, elsewhere):
    run = slurm_run([line()], ["data/0.pickle"], name="s", folder="runs", cores_per_node=1)
    os.chdir(elsewhere)
    assert run.run_folder.root == here / "runs/s-run"
    assert run.database_manager.resolved[0].paths == (here / "data/0.pickle",)
    assert run.project.folder == here
