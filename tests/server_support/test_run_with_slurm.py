"""`slurm_run` makes a `RunManager` with Slurm, and takes what both take."""

from __future__ import annotations

import inspect
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler import RunManager, slurm_run
from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.scheduler import SLURM


@pytest.fixture
def learners():
    return [adaptive.SequenceLearner(abs, range(3)) for _ in range(2)]


FNAMES = ["a.pickle", "b.pickle"]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_it_makes_a_run_that_is_to_be_started(learners):
    run = slurm_run(learners, FNAMES)
    assert isinstance(run, RunManager)
    assert isinstance(run.scheduler, SLURM)
    assert run.status() == "not yet started"
    assert run.job_names == ["adaptive-scheduler-0", "adaptive-scheduler-1"]
    assert run.run_folder.root == Path("adaptive-scheduler-run").absolute()
    assert list(Path.cwd().iterdir()) == []


def test_several_runs_may_share_a_folder(learners):
    roots = [
        slurm_run(learners, FNAMES, name=name, folder="results").run_folder.root
        for name in ("first", "second")
    ]
    assert roots == [Path(f"results/{name}-run").absolute() for name in ("first", "second")]


@pytest.mark.system
def test_jobs_ask_for_what_was_said(learners):
    run = slurm_run(
        learners,
        FNAMES,
        partition=("a", "b"),
        nodes=2,
        cores_per_node=(3, lambda: 4),
        memory="4G",
        num_threads=5,
        exclusive=True,
        executor_type="mpi4py",
        extra_scheduler=["--mail-type=END"],
        extra_env_vars=["A=1"],
        extra_scheduler_kwargs={"time": "01:00:00", "requeue": False},
    )
    script = run.scheduler.job_script(index=1)
    for line in (
        "#SBATCH --nodes=2",
        "#SBATCH --ntasks-per-node=4",
        "#SBATCH --partition=b",
        "#SBATCH --mem=4G",
        "#SBATCH --time=01:00:00",
        "#SBATCH --exclusive",
        "#SBATCH --no-requeue",
        "#SBATCH --mail-type=END",
        "export OMP_NUM_THREADS=5",
        "export A=1",
    ):
        assert f"{line}\n" in script
    assert "--cores=" not in script  # it shows what a job asks for, not what a run adds
    assert run.scheduler.resources(0).partition == "a"


def test_keywords_of_the_run_manager_reach_it(learners):
    run = slurm_run(learners, FNAMES, goal=3, max_simultaneous_jobs=7, quiet=True)
    assert run.goal == 3
    assert run.job_manager.max_simultaneous_jobs == 7
    assert run.quiet


def test_further_arguments_win(learners):
    more = {"job_name": "other", "folder": "here", "max_simultaneous_jobs": 3}
    run = slurm_run(learners, FNAMES, max_simultaneous_jobs=7, extra_run_manager_kwargs=more)
    assert run.job_name == "other"
    assert run.run_folder.root == Path("here").absolute()
    assert run.job_manager.max_simultaneous_jobs == 3


def test_data_is_saved_as_dataframes_too_unless_it_is_not_wanted(learners):
    assert slurm_run(learners, FNAMES).spec.saved_dataframe_format == "pickle"
    run = slurm_run(learners, FNAMES, save_dataframe=False)
    assert run.spec.saved_dataframe_format is None


@pytest.mark.parametrize("keyword", ["goall", "job_name", "db_fname", "scheduler"])
def test_a_keyword_that_there_is_not_is_an_error(learners, keyword):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{keyword}'"):
        slurm_run(learners, FNAMES, **{keyword: 1})


def test_what_can_not_be_is_refused(learners):
    with pytest.raises(InvalidInputError, match="cores_per_node"):
        slurm_run(learners, FNAMES, cores_per_node=0)


def test_the_signature_tells_all_keywords():
    keywords = inspect.signature(slurm_run).parameters
    of_run_manager = inspect.signature(RunManager).parameters
    assert set(of_run_manager) - set(keywords) == {
        "scheduler",
        "job_name",
        "db_fname",
        "move_old_logs_to",
    }
    assert keywords["goal"].default is None
    assert keywords["cleanup_first"].default is True
    assert keywords["save_dataframe"].default is True
    assert all(p.kind is not inspect.Parameter.VAR_KEYWORD for p in keywords.values())
