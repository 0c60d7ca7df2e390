"""Whether a run folder is the run itself, moved or not, or a copy of it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from adaptive_scheduler.errors import RunFolderError
from adaptive_scheduler.learners.paths import Project
from adaptive_scheduler.run_folder import project as module
from adaptive_scheduler.run_folder.project import (
    FileSystem,
    RecordedPlace,
    Standing,
    check_reachable,
    project_now,
    shared_with_original,
    standing,
)

RUN_ID = "0123456789abcdef"


def make_run(root, run_id=RUN_ID):
    root.mkdir(parents=True)
    (root / "spec.json").write_text(json.dumps({"run_id": run_id}))


@pytest.fixture
def recorded(tmp_path):
    root = tmp_path / "project/runs/run-run"
    make_run(root)
    return RecordedPlace(RUN_ID, root, tmp_path / "project", FileSystem.of(root))


def test_where_it_was_it_is_here_and_nothing_is_asked(recorded):
    shutil.rmtree(recorded.root)
    assert standing(recorded, recorded.root) is Standing.HERE


def test_under_another_name_it_is_here(recorded, tmp_path):
    (tmp_path / "link").symlink_to(recorded.project)
    assert standing(recorded, tmp_path / "link/runs/run-run") is Standing.HERE


def test_moved(recorded, tmp_path):
    recorded.project.rename(tmp_path / "moved")
    assert standing(recorded, tmp_path / "moved/runs/run-run") is Standing.MOVED


def test_renamed_while_a_new_run_has_its_name(recorded):
    old = recorded.root.with_name("old-run")
    recorded.root.rename(old)
    make_run(recorded.root, "fedcba9876543210")
    assert standing(recorded, old) is Standing.MOVED


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}"])
def test_moved_and_something_else_is_there(recorded, tmp_path, content):
    recorded.project.rename(tmp_path / "moved")
    recorded.root.mkdir(parents=True)
    assert standing(recorded, tmp_path / "moved/runs/run-run") is Standing.MOVED
    (recorded.root / "spec.json").write_bytes(content)
    assert standing(recorded, tmp_path / "moved/runs/run-run") is Standing.MOVED


def test_copied(recorded, tmp_path):
    copy = shutil.copytree(recorded.project, tmp_path / "copy") / "runs/run-run"
    before = sorted(copy.iterdir())
    assert standing(recorded, copy) is Standing.COPIED
    assert sorted(copy.iterdir()) == before


def test_a_second_mount_of_the_same_folder_shows_what_is_written(recorded, tmp_path, monkeypatch):
    """Inodes may differ between mounts; what is written into one is seen in the other."""
    (tmp_path / "mount").symlink_to(recorded.project)
    monkeypatch.setattr(os.path, "samestat", lambda *_: False)
    assert standing(recorded, tmp_path / "mount/runs/run-run") is Standing.HERE


@pytest.mark.system
@pytest.mark.skipif(os.getuid() != 0, reason="mounting needs root")
def test_a_bind_mount_is_the_same_folder(recorded, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    if subprocess.run(["mount", "--bind", recorded.project, other], check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        assert standing(recorded, other / "runs/run-run") is Standing.HERE
    finally:
        subprocess.run(["umount", other], check=True)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_what_cant_be_read_is_unreachable(recorded, tmp_path, monkeypatch, number):
    recorded.project.rename(tmp_path / "moved")

    original = Path.stat

    def stat(path, **keywords):
        if path == recorded.root:
            raise OSError(number, os.strerror(number))
        return original(path, **keywords)

    monkeypatch.setattr(Path, "stat", stat)
    assert standing(recorded, tmp_path / "moved/runs/run-run") is Standing.UNREACHABLE


@pytest.mark.parametrize(
    "file_system",
    [
        FileSystem("/not mounted here", "server:/export", "any"),
        FileSystem("/", "/dev/sda1", "another-host"),
    ],
)
def test_a_file_system_that_is_not_there_is_unreachable(recorded, tmp_path, file_system):
    recorded.project.rename(tmp_path / "moved")
    far = RecordedPlace(RUN_ID, recorded.root, recorded.project, file_system)
    found = standing(far, tmp_path / "moved/runs/run-run")
    assert found is Standing.UNREACHABLE
    with pytest.raises(RunFolderError, match=r"--moved.*two managers"):
        check_reachable(far, found, is_moved=False)
    assert check_reachable(far, found, is_moved=True) is Standing.MOVED
    assert check_reachable(far, Standing.COPIED, is_moved=True) is Standing.COPIED


def test_a_server_is_known_to_all_hosts_and_a_device_to_its_own():
    served, disk = FileSystem("/data", "server:/export", "a"), FileSystem("/", "/dev/sda1", "a")
    assert served.is_surely(FileSystem("/data", "server:/export", "b"))
    assert not served.is_surely(FileSystem("/data", "other:/export", "a"))
    assert disk.is_surely(disk)
    assert not disk.is_surely(FileSystem("/", "/dev/sda1", "b"))


def test_the_file_system_of_a_folder_is_the_innermost_mount(tmp_path, monkeypatch):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "2 1 0:5 / /data\\040of\\040all rw,nosuid shared:1 - nfs4 server:/export rw\n"
    )
    monkeypatch.setattr(module, "_MOUNTS", mounts)
    found = FileSystem.of(Path("/data of all/me/run-run"))
    assert (found.mount, found.source) == ("/data of all", "server:/export")
    assert FileSystem.of(Path("/data of")).mount == "/"


# The project.


def test_a_project_moves_with_its_run_folder(recorded, tmp_path):
    recorded.project.rename(tmp_path / "moved")
    project = project_now(recorded, tmp_path / "moved/runs/run-run", Standing.MOVED)
    assert project == Project(tmp_path / "moved", recorded.project)


def test_a_run_folder_that_was_renamed_has_the_project_that_it_had(recorded):
    project = project_now(recorded, recorded.root.with_name("old-run"), Standing.MOVED)
    assert project.folder == recorded.project


def test_a_run_folder_that_was_moved_alone_leaves_its_data_behind(recorded, tmp_path):
    (recorded.project / "x.pickle").touch()
    root = tmp_path / "archive/of/run-run"
    names = ["y.pickle", "x.pickle"]
    assert project_now(recorded, root, Standing.MOVED, names).folder == recorded.project
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive/y.pickle").touch()
    assert project_now(recorded, root, Standing.MOVED, names).folder == tmp_path / "archive"


def test_a_run_folder_outside_of_its_project_moves_alone(recorded, tmp_path):
    outside = RecordedPlace(RUN_ID, tmp_path / "runs/r", tmp_path / "project", recorded.file_system)
    assert project_now(outside, tmp_path / "r", Standing.MOVED).folder == tmp_path / "project"


def test_what_a_copy_shares_with_its_original_is_named_once():
    ours = [Path("/copy/x"), Path("/data/../data/y"), Path("/data/../data/y")]
    assert shared_with_original(ours, [Path("/data/y"), Path("/orig/x")]) == [ours[1]]


def test_a_link_to_a_folder_of_the_original_is_shared_and_one_to_a_file_is_replaced(tmp_path):
    (tmp_path / "original").mkdir()
    (tmp_path / "original/x").touch()
    (tmp_path / "copy").symlink_to("original")
    (tmp_path / "own").mkdir()
    (tmp_path / "own/x").symlink_to("../original/x")
    ours = [tmp_path / "copy/x", tmp_path / "own/x"]
    assert shared_with_original(ours, [tmp_path / "original/x"]) == ours[:1]
