"""The run folder: where things lie, for whom, and that one manager at a time works in it."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from adaptive_scheduler.errors import RunFolderError, RunFolderLockedError
from adaptive_scheduler.run_folder import RunFolder, RunFolderLock, read_holder, write_private


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder.at(tmp_path / "sweep-run")
    folder.create()
    return folder


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
            folder.settings,
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
        "settings.pickle",
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


def test_only_its_owner_gets_in(folder):
    assert [mode(path) for path in (folder.root, folder.logs, folder.outbox)] == [0o700] * 3


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


def test_creating_it_twice_changes_nothing(folder):
    (folder.logs / "a.log").write_text("kept")
    folder.create()
    assert (folder.logs / "a.log").read_text() == "kept"


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


def test_a_private_file_is_for_its_owner_and_replaces_the_one_before(tmp_path):
    path = tmp_path / "connection.json"
    path.write_text("an older one that everybody can read")
    path.chmod(0o666)
    write_private(path, b"secret")
    assert path.read_bytes() == b"secret"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_leftover_of_a_dead_writer_is_no_obstacle(tmp_path):
    leftover = tmp_path / ".connection.json.new"
    leftover.write_text("half")
    leftover.chmod(0o666)
    write_private(tmp_path / "connection.json", b"secret")
    assert mode(tmp_path / "connection.json") == 0o600
    assert not leftover.exists()


# One manager at a time.


def test_a_second_manager_is_told_who_has_the_folder(folder):
    lock = RunFolderLock(folder)
    lock.acquire()
    with pytest.raises(
        RunFolderLockedError, match=f"process {os.getpid()} on {socket.gethostname()}, since"
    ):
        RunFolderLock(folder).acquire()
    lock.release()


def test_a_lock_that_was_let_go_of_can_be_taken(folder):
    lock = RunFolderLock(folder)
    lock.acquire()
    lock.release()
    assert read_holder(folder) is None
    other = RunFolderLock(folder)
    other.acquire()
    assert read_holder(folder).pid == os.getpid()
    other.release()


def test_letting_go_of_what_one_does_not_have_does_nothing(folder):
    lock = RunFolderLock(folder)
    lock.release()
    lock.acquire()
    lock.release()
    lock.release()


def test_whether_somebody_has_the_lock_can_be_seen(folder):
    lock = RunFolderLock(folder)
    assert not lock.is_held()
    lock.acquire()
    assert lock.is_held()
    assert RunFolderLock(folder).is_held()
    lock.release()
    assert not lock.is_held()


def test_nobody_is_known_to_hold_a_folder_that_was_never_locked(folder):
    assert read_holder(folder) is None
    folder.lock.write_bytes(b"\xff nonsense")
    assert read_holder(folder) is None


TAKE_LOCK = """
import sys
from adaptive_scheduler.run_folder import RunFolder, RunFolderLock

RunFolderLock(RunFolder.at(sys.argv[1])).acquire()
print("locked", flush=True)
sys.stdin.read()
"""


def test_the_lock_of_a_manager_that_was_killed_is_free(folder):
    with subprocess.Popen(
        [sys.executable, "-c", TAKE_LOCK, folder.root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as manager:
        assert manager.stdout.readline() == "locked\n"
        with pytest.raises(RunFolderLockedError, match=f"process {manager.pid} on"):
            RunFolderLock(folder).acquire()
        manager.send_signal(signal.SIGKILL)
    lock = RunFolderLock(folder)
    lock.acquire()
    lock.release()


def fork_and_wait():
    """Fork a child that ends when the returned function is called."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover
        os.close(write_end)
        os.read(read_end, 1)
        os._exit(0)
    os.close(read_end)

    def end():
        os.close(write_end)
        os.waitpid(pid, 0)

    return end


def test_a_forked_child_does_not_keep_the_lock_that_its_parent_lets_go_of(folder):
    lock = RunFolderLock(folder)
    lock.acquire()
    end_child = fork_and_wait()
    try:
        lock.release()
        other = RunFolderLock(folder)
        other.acquire()
        other.release()
    finally:
        end_child()


TAKE_LOCK_AND_FORK = """
import os, sys
from adaptive_scheduler.run_folder import RunFolder, RunFolderLock

RunFolderLock(RunFolder.at(sys.argv[1])).acquire()
if os.fork() == 0:
    print(os.getpid(), flush=True)
    sys.stdin.read()
os._exit(0)
"""


def test_a_forked_child_does_not_keep_the_lock_of_a_manager_that_dies(folder):
    with subprocess.Popen(
        [sys.executable, "-c", TAKE_LOCK_AND_FORK, folder.root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as manager:
        child = int(manager.stdout.readline())
        manager.wait()
        assert Path(f"/proc/{child}").exists()
        lock = RunFolderLock(folder)
        lock.acquire()
        lock.release()


def test_a_child_that_ends_does_not_take_the_lock_from_its_parent(folder):
    lock = RunFolderLock(folder)
    lock.acquire()
    fork_and_wait()()
    with pytest.raises(RunFolderLockedError):
        RunFolderLock(folder).acquire()
    lock.release()


def test_who_only_looks_keeps_nobody_from_taking_the_lock(folder, monkeypatch):
    folder.lock.touch()
    looker = os.open(folder.lock, os.O_RDWR)
    fcntl.flock(looker, fcntl.LOCK_SH)
    monkeypatch.setattr(
        "adaptive_scheduler.run_folder.time.sleep", lambda _: fcntl.flock(looker, fcntl.LOCK_UN)
    )
    lock = RunFolderLock(folder)
    lock.acquire()
    assert lock.is_ours()
    os.close(looker)


def test_who_takes_the_lock_from_the_dead_has_it_and_the_dead_finds_out(folder):
    dead, successor = RunFolderLock(folder), RunFolderLock(folder)
    dead.acquire()
    successor.take_from_the_dead()
    assert (dead.is_ours(), successor.is_ours()) == (False, True)
    dead.release()
    assert RunFolderLock(folder).is_held()
    assert read_holder(folder).pid == os.getpid()
    with pytest.raises(RunFolderLockedError):
        RunFolderLock(folder).acquire()


def test_who_may_not_follow_leaves_the_name_of_the_one_before(folder):
    folder.lock.write_text('{"host": "node7", "pid": 3, "since": "yesterday"}')
    lock = RunFolderLock(folder)
    with pytest.raises(RunFolderLockedError, match=r"process 3 on node7.*take_over=True"):
        lock.acquire(may_follow=lambda holder: holder.host != "node7")
    assert not lock.is_held()
    lock.acquire(may_follow=lambda holder: holder.pid == 3)
    assert read_holder(folder).pid == os.getpid()
