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
from adaptive_scheduler.run_folder.lock import RunFolderLock, read_holder


def test_a_second_manager_is_told_who_has_the_folder(run_folder):
    lock = RunFolderLock(run_folder)
    lock.acquire()
    with pytest.raises(
        RunFolderLockedError, match=f"process {os.getpid()} on {socket.gethostname()}, since"
    ):
        RunFolderLock(run_folder).acquire()
    lock.release()


def test_a_lock_that_was_let_go_of_can_be_taken(run_folder):
    lock = RunFolderLock(run_folder)
    lock.acquire()
    lock.release()
    assert read_holder(run_folder) is None
    other = RunFolderLock(run_folder)
    other.acquire()
    assert read_holder(run_folder).pid == os.getpid()
    other.release()


def test_letting_go_of_what_one_does_not_have_does_nothing(run_folder):
    lock = RunFolderLock(run_folder)
    lock.release()
    lock.acquire()
    lock.release()
    lock.release()


def test_whether_somebody_has_the_lock_can_be_seen(run_folder):
    lock = RunFolderLock(run_folder)
    assert not lock.is_held()
    lock.acquire()
    assert lock.is_held()
    assert RunFolderLock(run_folder).is_held()
    lock.release()
    assert not lock.is_held()


def test_nobody_is_known_to_hold_a_folder_that_was_never_locked(run_folder):
    assert read_holder(run_folder) is None
    run_folder.lock.write_bytes(b"\xff nonsense")
    assert read_holder(run_folder) is None


def start(program, run_folder):
    """Start a program with a run folder; it ends when its input does."""
    return subprocess.Popen(
        [sys.executable, "-c", program, run_folder.root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


TAKE_LOCK = """
import sys
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.run_folder.lock import RunFolderLock

RunFolderLock(RunFolder.at(sys.argv[1])).acquire()
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.mark.system
def test_the_lock_of_a_manager_that_was_killed_is_free(run_folder):
    with start(TAKE_LOCK, run_folder) as manager:
        assert manager.stdout.readline() == "locked\n"
        with pytest.raises(RunFolderLockedError, match=f"process {manager.pid} on"):
            RunFolderLock(run_folder).acquire()
        manager.send_signal(signal.SIGKILL)
    lock = RunFolderLock(run_folder)
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


@pytest.mark.system
def test_a_forked_child_does_not_keep_the_lock_that_its_parent_lets_go_of(run_folder):
    lock = RunFolderLock(run_folder)
    lock.acquire()
    end_child = fork_and_wait()
    try:
        lock.release()
        other = RunFolderLock(run_folder)
        other.acquire()
        other.release()
    finally:
        end_child()


TAKE_LOCK_AND_FORK = """
import os, sys
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.run_folder.lock import RunFolderLock

RunFolderLock(RunFolder.at(sys.argv[1])).acquire()
if os.fork() == 0:
    print(os.getpid(), flush=True)
    sys.stdin.read()
os._exit(0)
"""


@pytest.mark.system
def test_a_forked_child_does_not_keep_the_lock_of_a_manager_that_dies(run_folder):
    with start(TAKE_LOCK_AND_FORK, run_folder) as manager:
        child = int(manager.stdout.readline())
        manager.wait()
        assert Path(f"/proc/{child}").exists()
        lock = RunFolderLock(run_folder)
        lock.acquire()
        lock.release()


@pytest.mark.system
def test_a_child_that_ends_does_not_take_the_lock_from_its_parent(run_folder):
    lock = RunFolderLock(run_folder)
    lock.acquire()
    fork_and_wait()()
    with pytest.raises(RunFolderLockedError):
        RunFolderLock(run_folder).acquire()
    lock.release()


def test_who_only_looks_keeps_nobody_from_taking_the_lock(run_folder, monkeypatch):
    run_folder.lock.touch()
    looker = os.open(run_folder.lock, os.O_RDWR)
    fcntl.flock(looker, fcntl.LOCK_SH)
    monkeypatch.setattr(
        "adaptive_scheduler.run_folder.lock.time.sleep",
        lambda _: fcntl.flock(looker, fcntl.LOCK_UN),
    )
    lock = RunFolderLock(run_folder)
    lock.acquire()
    assert lock.is_ours()
    os.close(looker)


def test_who_takes_the_lock_from_the_dead_has_it_and_the_dead_finds_out(run_folder):
    dead, successor = RunFolderLock(run_folder), RunFolderLock(run_folder)
    dead.acquire()
    successor.take_from_the_dead()
    assert (dead.is_ours(), successor.is_ours()) == (False, True)
    dead.release()
    assert RunFolderLock(run_folder).is_held()
    assert read_holder(run_folder).pid == os.getpid()
    with pytest.raises(RunFolderLockedError):
        RunFolderLock(run_folder).acquire()


def test_who_may_not_follow_leaves_the_name_of_the_one_before(run_folder):
    run_folder.lock.write_text('{"host": "node7", "pid": 3, "since": "yesterday"}')
    lock = RunFolderLock(run_folder)
    with pytest.raises(RunFolderLockedError, match=r"process 3 on node7.*take_over=True"):
        lock.acquire(may_follow=lambda holder: holder.host != "node7")
    assert not lock.is_held()
    lock.acquire(may_follow=lambda holder: holder.pid == 3)
    assert read_holder(run_folder).pid == os.getpid()
