"""The lock of a run folder: one manager at a time works in it, and everybody can see which."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from adaptive_scheduler.errors import RunFolderLockedError
from adaptive_scheduler.run_folder import RunFolder
from adaptive_scheduler.run_folder_lock import RunFolderLock, read_holder


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder.at(tmp_path / "sweep-run")
    folder.create()
    return folder


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
from adaptive_scheduler.run_folder import RunFolder
from adaptive_scheduler.run_folder_lock import RunFolderLock

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
from adaptive_scheduler.run_folder import RunFolder
from adaptive_scheduler.run_folder_lock import RunFolderLock

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
        "adaptive_scheduler.run_folder_lock.time.sleep",
        lambda _: fcntl.flock(looker, fcntl.LOCK_UN),
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
