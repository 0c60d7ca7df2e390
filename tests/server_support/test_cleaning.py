"""What a run leaves behind is put away; what is not of this run stays."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.server_support import cleanup_scheduler_files
from adaptive_scheduler.server_support.cleaning import move_aside, put_logs_away, remove_old_logs


def make(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(name)


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# Logs and scripts of a run.

OURS = [
    "sweep-0-12.log",
    "sweep-0-12.out",
    "sweep-11-12_11.log",
    "sweep-1-8[1].pbs-server.log",
]
SCRIPTS = ["sweep-0.sbatch", "sweep-1.sbatch"]
#: In folders that the user shares between runs, and with other things.
OTHERS = [
    "sweep-2-0-12.log",
    "sweep-2-0-12_0.out",
    "sweep.log",
    "sweep-notes.txt",
    "sweeper-0-12.log",
    "other-0-12.log",
    "analysis.py",
    "sweep-0-12.log.gz",
]


@pytest.fixture
def shared(tmp_path):
    """Make a run folder whose logs and scripts lie in a folder full of other things."""
    folder = RunFolder.at(tmp_path / "run", logs=tmp_path / "shared", scripts=tmp_path / "shared")
    make(tmp_path / "shared", *OURS, *SCRIPTS, *OTHERS, "sweep-2-0.sbatch", "sweep-0.py")
    (tmp_path / "shared" / "sweep-0-folder").mkdir()
    return folder


def test_logs_and_scripts_are_moved(tmp_path):
    folder = RunFolder.at(tmp_path / "run")
    make(folder.logs, *OURS)
    make(folder.scripts, *SCRIPTS)
    assert put_logs_away(folder, "sweep", ".sbatch") == len(OURS) + len(SCRIPTS)
    assert names(folder.old_logs) == sorted(OURS + SCRIPTS)
    assert names(folder.logs) == names(folder.scripts) == []


def test_what_is_not_of_this_run_stays(shared):
    put_logs_away(shared, "sweep", ".sbatch")
    assert names(shared.old_logs) == sorted(OURS + SCRIPTS)
    left = [*OTHERS, "sweep-2-0.sbatch", "sweep-0.py", "sweep-0-folder"]
    assert names(shared.logs) == sorted(left)


def test_a_run_whose_name_begins_with_that_of_another_is_cleaned_alone(shared):
    put_logs_away(shared, "sweep-2", ".sbatch")
    gone = ["sweep-2-0-12.log", "sweep-2-0-12_0.out", "sweep-2-0.sbatch"]
    assert names(shared.old_logs) == gone


def test_logs_are_deleted_if_there_is_no_place_for_them(tmp_path):
    folder = RunFolder.at(tmp_path / "run", old_logs=None)
    make(folder.logs, *OURS)
    assert put_logs_away(folder, "sweep", ".sbatch") == len(OURS)
    assert names(folder.logs) == []


def test_where_nothing_was_left_nothing_is_made(tmp_path):
    folder = RunFolder.at(tmp_path / "run")
    assert put_logs_away(folder, "sweep", ".sbatch") == 0
    assert not folder.root.exists()


def test_logs_that_are_put_away_again_replace_the_older(tmp_path):
    folder = RunFolder.at(tmp_path / "run")
    make(folder.old_logs, *OURS)
    make(folder.logs, OURS[0])
    (folder.logs / OURS[0]).write_text("newer")
    put_logs_away(folder, "sweep", ".sbatch")
    assert (folder.old_logs / OURS[0]).read_text() == "newer"


# Files of a scheduler.


def test_files_of_the_named_jobs_are_put_away(tmp_path):
    make(tmp_path / "logs", "sweep-0-12.log", "sweep-0-12.out", "sweep-1-12.log", "sweep-10-1.log")
    make(tmp_path / "scripts", "sweep-0.sbatch", "sweep-2.sbatch", "sweep-0.py")
    scheduler = SimpleNamespace(
        log_folder=tmp_path / "logs", batch_folder=tmp_path / "scripts", ext=".sbatch"
    )
    cleanup_scheduler_files(
        ["sweep-0", "sweep-1"], scheduler, with_progress_bar=False, move_to=tmp_path / "old"
    )
    assert names(tmp_path / "old") == [
        "sweep-0-12.log",
        "sweep-0-12.out",
        "sweep-0.sbatch",
        "sweep-1-12.log",
    ]
    assert names(tmp_path / "logs") == ["sweep-10-1.log"]
    assert names(tmp_path / "scripts") == ["sweep-0.py", "sweep-2.sbatch"]


def test_files_of_the_named_jobs_are_deleted_by_default(tmp_path, monkeypatch):
    make(tmp_path, "sweep-0-12.log", "sweep-1-12.log")
    monkeypatch.chdir(tmp_path)
    scheduler = SimpleNamespace(log_folder="", batch_folder="", ext=".sbatch")
    cleanup_scheduler_files(["sweep-0"], scheduler, with_progress_bar=False)
    assert names(tmp_path) == ["sweep-1-12.log"]


# Data.


def test_data_files_are_moved(tmp_path):
    make(tmp_path, "a", "b", "c")
    wanted = [tmp_path / name for name in ("a", "b", "not there")]
    assert move_aside(wanted, tmp_path / "old") == [tmp_path / "a", tmp_path / "b"]
    assert names(tmp_path / "old") == ["a", "b"]
    assert names(tmp_path) == ["c", "old"]


def test_data_files_are_deleted_on_request(tmp_path):
    make(tmp_path, "a", "b")
    assert move_aside([tmp_path / "a"], None) == [tmp_path / "a"]
    assert names(tmp_path) == ["b"]


def test_no_data_file_is_moved_over_another(tmp_path):
    make(tmp_path, "a", "b")
    make(tmp_path / "old", "b")
    with pytest.raises(InvalidInputError, match=r"old/b' exists already.*move_to="):
        move_aside([tmp_path / "a", tmp_path / "b"], tmp_path / "old")
    assert names(tmp_path) == ["a", "b", "old"]


def test_files_of_one_name_are_not_moved_into_one_folder(tmp_path):
    make(tmp_path / "x", "a")
    make(tmp_path / "y", "a")
    with pytest.raises(InvalidInputError, match="same name in different folders"):
        move_aside([tmp_path / "x" / "a", tmp_path / "y" / "a"], tmp_path / "old")
    assert names(tmp_path / "x") == names(tmp_path / "y") == ["a"]


def test_only_what_the_run_has_put_there_is_deleted_of_the_old_logs(tmp_path):
    make(tmp_path / "old", *OURS, *SCRIPTS, "results.csv", "sweep-2-0-12.log")
    remove_old_logs(tmp_path / "old", "sweep", ".sbatch")
    assert names(tmp_path / "old") == ["results.csv", "sweep-2-0-12.log"]


def test_a_folder_for_old_logs_that_holds_nothing_else_is_deleted(tmp_path):
    make(tmp_path / "old", *OURS, *SCRIPTS)
    remove_old_logs(tmp_path / "old", "sweep", ".sbatch")
    assert not (tmp_path / "old").exists()
    remove_old_logs(tmp_path / "old", "sweep", ".sbatch")


def test_files_of_another_run_whose_name_begins_the_same_stay(tmp_path):
    make(tmp_path, "sweep-1-12.log", "sweep-1-0-12.log", "sweep-1.sbatch", "sweep-1-0.sbatch")
    folder = str(tmp_path)
    scheduler = SimpleNamespace(log_folder=folder, batch_folder=folder, ext=".sbatch")
    cleanup_scheduler_files(["sweep-1"], scheduler, with_progress_bar=False)
    assert names(tmp_path) == ["sweep-1-0-12.log", "sweep-1-0.sbatch"]
