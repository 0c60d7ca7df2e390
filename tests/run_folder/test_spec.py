"""What a run is: declared once, written to its folder, read by jobs and by who attaches."""

from __future__ import annotations

import inspect
import json
import threading
from dataclasses import fields
from pathlib import Path

import adaptive
import numpy as np
import pytest

from adaptive_scheduler import SlurmExecutor
from adaptive_scheduler._common.signatures import options_of
from adaptive_scheduler.errors import InvalidInputError, RunFolderError, UnpicklableError
from adaptive_scheduler.learners.paths import Project
from adaptive_scheduler.run_folder import options as typed
from adaptive_scheduler.run_folder.functions import Functions
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.run_folder.project import Standing
from adaptive_scheduler.run_folder.spec import RunSpec
from adaptive_scheduler.scheduler import Local
from adaptive_scheduler.server_support import (
    JobManager,
    KillManager,
    RunManager,
    slurm_run,
)


def goal(learner):
    return learner.npoints >= 7


class Counted:
    npoints = 7


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return RunFolder.at("sweep-run", logs="my logs", journal="/elsewhere/journal.jsonl")


def spec_in(folder, **parameters):
    return RunSpec(**{"job_name": "sweep", "run_folder": folder, **parameters})


def written(spec, scheduler=None):
    spec.run_folder.root.mkdir(exist_ok=True)
    spec.run_folder.spec.write_bytes(spec.to_json())
    spec.run_folder.functions.write_bytes(Functions.of(spec, scheduler).to_bytes())
    return spec.run_folder


#: A value that is not the default, for each parameter that is kept.
OTHERS = {
    "goal": goal,
    "check_goal_on_start": False,
    "dependencies": {2: [0, 1]},
    "runner_kwargs": {"retries": 3},
    "url": "tcp://127.0.0.1:5000",
    "save_interval": 3,
    "log_interval": 4.5,
    "job_name": "other",
    "job_manager_interval": 7,
    "kill_interval": 8,
    "kill_on_error": "bad",
    "max_cancel_tries": 9,
    "move_killed_output_to": "killed",
    "move_old_logs_to": None,
    "loky_start_method": "spawn",
    "save_dataframe": True,
    "dataframe_format": "csv",
    "max_log_lines": 10,
    "max_fails_per_job": 11,
    "max_simultaneous_jobs": 12,
    "quiet": True,
}


# On disk.


def test_every_parameter_comes_back_from_the_folder_but_those_of_one_start(folder):
    kept = {n for n, each in options_of(RunSpec).items() if each.metadata["kept"] != "nowhere"}
    assert OTHERS.keys() == kept
    spec = spec_in(folder, **OTHERS)
    root = written(spec).root
    read = Functions.read(folder.functions).complete(RunSpec.read(root))
    assert read == spec
    assert all(getattr(read, name) != options_of(RunSpec)[name].default for name in kept)


def test_what_follows_from_them_comes_back_too(folder):
    facts = {
        "run_id": "0123456789abcdef",
        "version": "3.1",
        "project": Project.here(),
        "run_folder": folder,
        "n_learners": 3,
        "groups": [0, 1, 0],
        "goal_digest": "abc",
        "scheduler": {"kind": "local"},
    }
    names = {each.name for each in fields(RunSpec)} - options_of(RunSpec).keys()
    assert facts.keys() == names - {"place", "standing"}
    written(RunSpec(**facts))
    read = RunSpec.read("sweep-run")
    assert read == RunSpec(**facts)
    assert read.standing is Standing.HERE
    assert (read.place.root, read.place.project) == (folder.root, Path.cwd())


def test_the_spec_needs_no_pickle_and_names_no_import_path(folder):
    written(spec_in(folder, goal=goal, kill_on_error=goal, runner_kwargs={"retries": 1}))
    folder.functions.unlink()
    read = RunSpec.read(folder.root)
    assert (read.job_name, read.goal, read.kill_on_error) == ("sweep", None, "srun: error:")
    assert "test_spec" not in folder.spec.read_text()


def test_a_job_unpickles_what_jobs_need_and_nothing_else(folder):
    written(spec_in(folder, goal=goal, kill_on_error=goal, runner_kwargs={"retries": 1}))
    spec = Functions.read(folder.functions).complete(RunSpec.read(folder.root), of="jobs")
    assert spec.goal_function(Counted())
    assert spec.runner_kwargs == {"retries": 1}
    assert spec.kill_on_error == "srun: error:"


def test_files_in_the_project_are_named_relative_to_it(folder):
    written(spec_in(folder))
    content = json.loads(folder.spec.read_bytes())
    assert content["project"] == str(Path.cwd())
    assert content["folders"] == {
        "root": "sweep-run",
        "logs": "my logs",
        "scripts": "sweep-run/scripts",
        "old_logs": "sweep-run/old_logs",
        "journal": "/elsewhere/journal.jsonl",
    }


def test_values_that_only_look_like_those_of_json_can_be_written(folder):
    spec = spec_in(
        folder,
        save_interval=np.float64(3),
        quiet=np.bool_(True),
        dependencies={np.int64(1): (0,)},
        move_killed_output_to=Path("killed"),
    )
    written(spec)
    read = RunSpec.read(folder.root)
    assert (read.save_interval, read.quiet, read.dependencies) == (3, True, {1: [0]})
    assert read.move_killed_output_to == "killed"


def test_parameters_of_another_version_are_passed_over(folder):
    content = json.loads(spec_in(folder, save_interval=3).to_json())
    content["parameters"]["from_tomorrow"] = 5
    del content["parameters"]["log_interval"]
    folder.root.mkdir()
    folder.spec.write_text(json.dumps(content))
    read = RunSpec.read(folder.root)
    assert (read.save_interval, read.log_interval) == (3, 300)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("goal", threading.Lock().acquire),
        ("runner_kwargs", {"executor": threading.Lock()}),
        ("kill_on_error", threading.Lock().acquire),
    ],
)
def test_what_cannot_travel_is_named(folder, monkeypatch, name, value):
    monkeypatch.setattr("adaptive_scheduler.run_folder.checks._OURS", frozenset())
    with pytest.raises(UnpicklableError, match=rf"`{name}` must be pickled.*can't be: .*lock"):
        Functions.of(spec_in(folder, **{name: value}), Local())


def test_a_folder_without_a_spec_is_no_run(folder):
    with pytest.raises(RunFolderError, match=f"no run in '{folder.root}': no 'spec.json'"):
        RunSpec.read(folder.root)


@pytest.mark.parametrize(
    "content",
    ["", "nonsense", "7", "[]", "{}", '{"format": 2}', '{"format": 2, "parameters": {"goal": 5}}'],
)
def test_other_files_are_no_spec(folder, content):
    folder.root.mkdir()
    folder.spec.write_text(content)
    with pytest.raises(RunFolderError, match=f"'{folder.spec}'"):
        RunSpec.read(folder.root)


def test_a_value_that_cannot_be_is_an_error_though_it_lies_in_the_folder(folder):
    content = json.loads(spec_in(folder).to_json())
    content["parameters"]["save_interval"] = -1
    folder.root.mkdir()
    folder.spec.write_text(json.dumps(content))
    with pytest.raises(RunFolderError, match="save_interval"):
        RunSpec.read(folder.root)


def test_half_a_file_is_no_spec(folder):
    whole = spec_in(folder).to_json()
    folder.root.mkdir()
    folder.spec.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunFolderError, match=f"'{folder.spec}'"):
        RunSpec.read(folder.root)


def test_a_run_in_another_format_says_which_version_has_written_it(folder):
    content = json.loads(spec_in(folder).to_json()) | {"format": 99, "version": "9.9"}
    folder.root.mkdir()
    folder.spec.write_text(json.dumps(content))
    with pytest.raises(RunFolderError, match=r"adaptive_scheduler 9\.9, in a format \(99\)"):
        RunSpec.read(folder.root)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x80\x04K\x07.", b"cno_such\nname\n."])
def test_other_files_are_no_functions(folder, content):
    folder.root.mkdir()
    folder.functions.write_bytes(content)
    with pytest.raises(RunFolderError, match=f"'{folder.functions}' can't be read"):
        Functions.read(folder.functions)


def test_a_function_that_can_not_be_loaded_here_is_named(folder):
    functions = Functions({"goal": b"cno_such_module\nno_such_name\n."})
    with pytest.raises(UnpicklableError, match=r"`goal` of the run.*no_such_module.*PYTHONPATH"):
        functions.complete(spec_in(folder))


# Declared.


def test_a_run_is_declared_by_what_the_user_gives(folder, monkeypatch):
    learners = [adaptive.SequenceLearner(abs, [1]) for _ in range(3)]
    scheduler = Local(cores=(1, 2, 1), log_folder="logs here")
    spec = RunSpec.of(scheduler, learners, {"goal": 3, "job_name": "sweep", "db_fname": "j"})
    monkeypatch.chdir("/")
    project = folder.root.parent
    assert spec.project.folder == project
    assert spec.run_folder == RunFolder.at(
        project / "sweep-run", logs=project / "logs here", journal=project / "j"
    )
    assert (spec.n_learners, spec.groups) == (3, [0, 1, 0])
    assert spec.job_names == ["sweep-0", "sweep-1", "sweep-2"]
    assert spec.goal_function(Counted())


def test_another_goal_has_another_digest(folder):
    spec = spec_in(folder).with_goal(3, [])
    assert spec.with_goal(4, []).goal_digest != spec.goal_digest
    assert spec.with_goal(3, []).goal_digest == spec.goal_digest != ""


# Faces.

FACES = {
    RunManager: (typed.RunOptions, {}),
    slurm_run: (typed.SlurmRunOptions, {}),
    SlurmExecutor: (typed.ExecutorOptions, {}),
    JobManager: (typed.JobManagerOptions, {"interval": "job_manager_interval"}),
    KillManager: (
        typed.KillManagerOptions,
        {
            "error": "kill_on_error",
            "interval": "kill_interval",
            "move_to": "move_killed_output_to",
        },
    ),
}


@pytest.mark.parametrize("face", FACES)
def test_the_typed_dict_of_a_face_is_equal_to_what_it_takes(face):
    options, names = FACES[face]
    code = (face.__init__ if isinstance(face, type) else face).__code__
    own = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    declared = {each.name: each.type for each in fields(RunSpec)}
    shown = {n: p for n, p in inspect.signature(face).parameters.items() if n not in own}
    expected = {name: declared[names.get(name, name)] for name in shown}
    assert {n: each.__forward_arg__ for n, each in options.__annotations__.items()} == expected
    assert all(parameter.annotation == expected[n] for n, parameter in shown.items())


def test_all_parameters_are_keywords_of_a_run_manager_or_of_its_kill_manager():
    keywords = inspect.signature(RunManager).parameters.keys() - {"scheduler", "learners", "fnames"}
    assert options_of(RunSpec).keys() - keywords == {"max_cancel_tries", "move_killed_output_to"}


@pytest.mark.parametrize("face", FACES)
def test_help_tells_of_each_parameter_with_its_unit_and_default(face):
    text = inspect.getdoc(face)
    for name in inspect.signature(face).parameters:
        assert f"{name} : " in text or name in text.split("Raises")[0]
    for name, parameter in inspect.signature(face).parameters.items():
        if name.endswith("interval") and parameter.kind is parameter.KEYWORD_ONLY:
            assert f"{name} : float, in seconds, default {parameter.default}\n" in text


def test_keywords_for_the_managers_win(folder):
    learners = [adaptive.SequenceLearner(abs, [1])]
    run = RunManager(
        Local(),
        learners,
        ["data/0.pickle"],
        job_manager_interval=9,
        job_manager_kwargs={"interval": 3, "max_fails_per_job": 4},
        kill_manager_kwargs={"error": "bad", "max_cancel_tries": 2, "move_to": "killed"},
    )
    assert (run.job_manager.interval, run.job_manager.max_fails_per_job) == (3, 4)
    kill = run.kill_manager
    assert (kill.error, kill.max_cancel_tries, kill.move_to) == ("bad", 2, Path("killed"))
    for keywords in (
        {"job_manager_kwargs": {"intervall": 1}},
        {"kill_manager_kwargs": {"eror": 1}},
    ):
        with pytest.raises(TypeError, match=r"Did you mean `(interval|error)`"):
            RunManager(Local(), learners, ["data/0.pickle"], **keywords)


def test_an_error_names_the_parameter_as_the_user_wrote_it(folder):
    learners = [adaptive.SequenceLearner(abs, [1])]
    with pytest.raises(InvalidInputError, match="`job_manager_interval` is a positive number"):
        RunManager(Local(), learners, ["data/0.pickle"], job_manager_interval=-1)
    with pytest.raises(InvalidInputError, match="`interval` is a positive number"):
        RunManager(Local(), learners, ["0.pickle"], kill_manager_kwargs={"interval": -1})
