"""The run folder: where things lie, and for whom."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from adaptive_scheduler.errors import RunFolderError, UntrustedFileError
from adaptive_scheduler.run_folder.layout import RunFolder, write_private


def mode(path):
    return path.stat().st_mode & 0o777


# Where things lie.


def test_everything_lies_in_the_run_folder(tmp_path):
    folder = RunFolder.at(tmp_path / "sweep-run")
    inside = {
        path.relative_to(folder.root).as_posix()
        for path in (
            folder.logs,
            folder.scripts,
            folder.old_logs,
            folder.journal,
            folder.connection,
            folder.pack,
            folder.spec,
            folder.functions,
            folder.outbox,
            folder.lock,
        )
    }
    assert inside == {
        "logs",
        "scripts",
        "old_logs",
        "journal.jsonl",
        "connection.json",
        "learners.pack",
        "spec.json",
        "functions.pickle",
        "outbox",
        "lock",
    }


def test_a_relative_folder_is_meant_from_where_we_are_now(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = RunFolder.at("sweep-run", logs="my logs", scripts=Path("s"), journal="j.json")
    monkeypatch.chdir("/")
    assert folder.root == tmp_path / "sweep-run"
    assert folder.logs == tmp_path / "my logs"
    assert folder.scripts == tmp_path / "s"
    assert folder.journal == tmp_path / "j.json"


def test_the_users_home_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = RunFolder.at("~/sweep-run", logs="~/logs", old_logs="~/old")
    assert folder.root == tmp_path / "sweep-run"
    assert folder.logs == tmp_path / "logs"
    assert folder.old_logs == tmp_path / "old"


def test_old_logs_lie_in_the_run_folder_unless_the_user_says_where(tmp_path):
    assert RunFolder.at(tmp_path, old_logs="old").old_logs == tmp_path / "old"
    assert RunFolder.at(tmp_path, old_logs="/elsewhere").old_logs == Path("/elsewhere")
    assert RunFolder.at(tmp_path, old_logs=None).old_logs is None


def test_logs_are_named_after_job_and_id(tmp_path):
    folder = RunFolder.at(tmp_path)
    assert folder.log_of("sweep-3", "12_3") == tmp_path / "logs" / "sweep-3-12_3.log"
    assert folder.output_of("sweep-3", "12_3") == tmp_path / "logs" / "sweep-3-12_3.out"


# For whom.


def test_only_its_owner_gets_in(run_folder):
    private = (run_folder.root, run_folder.logs, run_folder.outbox)
    assert [mode(path) for path in private] == [0o700] * 3


def test_a_folder_that_is_open_to_others_is_closed(tmp_path):
    root = tmp_path / "sweep-run"
    root.mkdir()
    root.chmod(0o755)
    RunFolder.at(root).create()
    assert mode(root) == 0o700


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(RunFolderError, match="holds other files"):
        RunFolder.at(tmp_path).create()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_creating_it_twice_changes_nothing(run_folder):
    (run_folder.logs / "a.log").write_text("kept")
    run_folder.create()
    assert (run_folder.logs / "a.log").read_text() == "kept"


def test_a_journal_elsewhere_gets_its_folder(tmp_path):
    folder = RunFolder.at(tmp_path / "run", journal=tmp_path / "db" / "deep" / "j.json")
    folder.create()
    assert folder.journal.parent.is_dir()


@pytest.mark.parametrize("part", ["sweep-run", "sweep-run/logs", "sweep-run/outbox"])
def test_a_file_in_the_way_is_an_error_that_names_it(tmp_path, part):
    in_the_way = tmp_path / part
    in_the_way.parent.mkdir(exist_ok=True)
    in_the_way.write_text("in the way")
    with pytest.raises(RunFolderError, match=rf"{in_the_way}.*folder=\.\.\."):
        RunFolder.at(tmp_path / "sweep-run").create()


@pytest.mark.parametrize("part", ["logs", "scripts", "journal"])
def test_a_folder_of_the_users_that_cannot_be_made_is_named(tmp_path, part):
    in_the_way = tmp_path / "obstacle"
    in_the_way.touch()
    with pytest.raises(RunFolderError, match=r"^'.*obstacle.* can't be used .*log_folder"):
        RunFolder.at(tmp_path / "run", **{part: in_the_way / "x" / "y"}).create()


def test_a_private_file_is_for_its_owner_and_replaces_the_one_before(tmp_path):
    path = tmp_path / "connection.json"
    path.write_text("an older one that everybody can read")
    path.chmod(0o666)
    write_private(path, b"secret")
    assert path.read_bytes() == b"secret"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_that_gives_secrets_to_everybody_is_refused_before_they_are_written(
    tmp_path, monkeypatch
):
    """As vfat does, and some FUSE mounts: all files have mode 0777."""
    true_open = os.open

    def open_(path, flags, mode=0o777):
        descriptor = true_open(path, flags, mode)
        if flags & os.O_CREAT:
            os.fchmod(descriptor, 0o777)
        return descriptor

    monkeypatch.setattr(os, "open", open_)
    path = tmp_path / "connection.json"
    with pytest.raises(UntrustedFileError, match=rf"ADAPTIVE_SCHEDULER_TRUST='{tmp_path}'"):
        write_private(path, b"secret")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_TRUST", str(tmp_path))
    write_private(path, b"secret")
    assert path.read_bytes() == b"secret"
