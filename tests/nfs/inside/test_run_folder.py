"""What a run rests on, between two hosts that share a disk by NFS."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adaptive_scheduler._common.tail import last_lines
from adaptive_scheduler._common.trusted import open_data
from adaptive_scheduler.client_support.fence import Fence, SupersededError
from adaptive_scheduler.client_support.place import HeldFolder
from adaptive_scheduler.errors import RunFolderLockedError
from adaptive_scheduler.protocol.messages import Attempt, Hello, JobIdentity
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import Journal, JournalFollower
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.run_folder.lock import RunFolderLock
from adaptive_scheduler.run_folder.outbox import Outbox
from tests.nfs.hosts import Host

DISK = Path("/run/disk")


class Follower:
    """A `JournalFollower` whose records can be passed on at once."""

    def __init__(self, path, from_end=False):
        self._follower = JournalFollower(path, from_end=from_end)

    def new_records(self):
        return list(self._follower.new_records())


class Writer(Journal):
    def write(self, *records):
        for record in records:
            self.append(record)
        self.flush()

    def shorten(self, *records):
        self.compact(records)


class Reader:
    """Reads files in the ways in which others read what jobs and managers write."""

    def data(self, path):
        try:
            with open_data(path) as opened:
                return opened.file.read()
        except FileNotFoundError:
            return None

    def log(self, path):
        return last_lines(path, 1)


class Guard(Fence):
    """A fence of one job, with the end of what it guards as an answer."""

    def __init__(self, folder):
        super().__init__(folder / "journal.jsonl", Outbox(folder), JobIdentity("1"))

    def is_superseded(self, number):
        try:
            self.check(Attempt(0, number))
        except SupersededError:
            return True
        return False


class Lock(RunFolderLock):
    """A lock of a folder that is named."""

    def __init__(self, folder):
        super().__init__(RunFolder.at(folder))


KINDS = (Follower, Writer, Reader, Guard, Lock, HeldFolder, Outbox)


@pytest.fixture(scope="module")
def hosts():
    DISK.mkdir(exist_ok=True)
    hosts = [Host(number, DISK, *KINDS) for number in range(2)]
    yield hosts
    for host in hosts:
        host.close()


@pytest.fixture
def a(hosts):
    return hosts[0]


@pytest.fixture
def b(hosts):
    return hosts[1]


@pytest.fixture
def folder(request):
    """Return a new folder on the shared disk, as the hosts see it."""
    Path("/run/export", request.node.name).mkdir()
    return DISK / request.node.name


def began():
    return events.RunBegan(
        time=0.0,
        format=events.FORMAT,
        run_id="0123456789abcdef",
        version="3",
        n_learners=3,
        fnames_digest="",
    )


def assigned(number):
    job = {"job": JobIdentity(f"{number}"), "job_name": "run-0", "job_number": 0}
    return events.Assigned(**job, time=0.0, learner=0, number=number)


def hello(number):
    return Hello(JobIdentity(f"{number}"), "run-0", 0, host="", pid=1, log_fname="")


def test_what_is_in_the_journal_is_seen_at_once_on_another_host(a, b, folder):
    writer = a.make(Writer, folder / "journal.jsonl")
    follower = b.make(Follower, folder / "journal.jsonl")
    writer.write(began())
    assert len(follower.new_records()) == 1
    for number in range(1, 30):
        writer.write(assigned(number))
        assert [record.number for record in follower.new_records()] == [number]


def test_a_journal_that_is_compacted_is_seen_at_once_on_another_host(a, b, folder):
    writer = a.make(Writer, folder / "journal.jsonl")
    writer.write(began(), assigned(1))
    follower = b.make(Follower, folder / "journal.jsonl")
    assert len(follower.new_records()) == 2
    for number in range(2, 10):
        writer.shorten(began(), assigned(number))
        assert [getattr(record, "number", 0) for record in follower.new_records()] == [0, number]
        writer.write(assigned(number))
        assert [record.number for record in follower.new_records()] == [number]


@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_job_sees_before_it_saves_that_another_host_gave_its_learner_away(
    a, b, folder, is_compacted
):
    writer = a.make(Writer, folder / "journal.jsonl")
    writer.write(began(), assigned(1))
    guard = b.make(Guard, folder)
    assert not guard.is_superseded(1)
    if is_compacted:
        writer.shorten(began(), assigned(2))
    else:
        writer.write(assigned(2))
    assert guard.is_superseded(1)


def test_a_job_sees_before_it_saves_that_a_job_on_another_host_has_claimed_its_learner(
    a, b, folder
):
    a.make(Writer, folder / "journal.jsonl").write(began(), assigned(1))
    guard = b.make(Guard, folder)
    assert not guard.is_superseded(1)
    assert a.make(Outbox, folder).claim(Attempt(0, 2), hello(2))
    assert guard.is_superseded(1)


def test_data_and_logs_that_were_not_there_before_are_found_when_another_host_has_made_them(
    b, folder, request
):
    reader = b.make(Reader)
    for name in ("data", "log"):
        assert not getattr(reader, name)(folder / name)
        Path("/run/export", request.node.name, name).write_text("new\n")
    assert reader.data(folder / "data") == b"new\n"
    assert reader.log(folder / "log") == "new"


def test_a_folder_that_another_host_has_moved_is_gone_at_once(b, folder):
    here = Path("/run/export") / folder.name
    (here / "project" / "run").mkdir(parents=True)
    held = b.make(HeldFolder, folder / "project" / "run")
    assert not held.is_gone()
    (here / "project").rename(here / "moved")
    assert held.is_gone()


def test_of_two_hosts_that_claim_an_attempt_one_gets_it(a, b, folder):
    outboxes = [host.make(Outbox, folder) for host in (a, b)]
    with ThreadPoolExecutor(2) as pool:
        for number in range(100):
            both = threading.Barrier(2)

            def claim(outbox, number=number, both=both):
                both.wait()
                return outbox.claim(Attempt(0, number), hello(number))

            assert sorted(pool.map(claim, outboxes)) == [False, True]


def test_a_claim_is_seen_at_once_on_another_host_that_saw_none_before(a, b, folder):
    ours, theirs = a.make(Outbox, folder), b.make(Outbox, folder)
    for number in range(20):
        assert not theirs.is_claimed(Attempt(0, number))
        assert ours.claim(Attempt(0, number), hello(number))
        assert theirs.is_claimed(Attempt(0, number))


def test_a_claim_that_is_taken_back_is_free_at_once_on_another_host(a, b, folder):
    ours, theirs = a.make(Outbox, folder), b.make(Outbox, folder)
    for number in range(20):
        assert ours.claim(Attempt(0, number), hello(number))
        assert theirs.is_claimed(Attempt(0, number))
        ours.unclaim(Attempt(0, number))
        assert not theirs.is_claimed(Attempt(0, number))


def test_one_host_has_the_lock_until_it_lets_go(a, b, folder):
    ours, theirs = a.make(Lock, folder), b.make(Lock, folder)
    for _ in range(5):
        ours.acquire()
        assert ours.is_ours()
        assert theirs.is_held()
        with pytest.raises(RunFolderLockedError, match="on host0"):
            theirs.acquire()
        ours.release()
        assert not theirs.is_held()
        theirs.acquire()
        assert ours.is_held()
        theirs.release()


def test_the_lock_of_a_manager_that_was_killed_is_free_at_once_on_another_host(b, folder):
    third = Host(2, DISK, Lock)
    third.make(Lock, folder).acquire()
    theirs = b.make(Lock, folder)
    assert theirs.is_held()
    third.kill()
    theirs.acquire()
    assert theirs.is_ours()


def test_a_lock_can_be_taken_from_a_host_that_is_cut_off_which_sees_it_when_it_is_back(
    a, b, folder
):
    ours, theirs = a.make(Lock, folder), b.make(Lock, folder)
    ours.acquire()
    assert ours.is_ours()
    a.pull_cable()
    try:
        with pytest.raises(RunFolderLockedError):
            theirs.acquire()
        theirs.take_from_the_dead()
    finally:
        a.plug_cable()
    assert theirs.is_ours()
    assert not ours.is_ours()
    with pytest.raises(RunFolderLockedError, match="on host1"):
        ours.acquire()
