"""Promise 1, on disks that are full, broken, slow or gone for a while.

A save that fails is told at once, tried again, and costs nothing that was saved
before; the computation goes on.
"""

from __future__ import annotations

import errno
import gzip
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler.errors import RunFolderError
from adaptive_scheduler.protocol import server
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import Journal
from adaptive_scheduler.scheduler import Local
from tests.end_to_end.barriers import FIRST, N_POINTS, SECOND, Barriers
from tests.end_to_end.failing_disk import SLOW, OnFailingDisk, make_failing
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import points, records, said, saved_points
from tests.end_to_end.schedulers import Played
from tests.waiting import PATIENCE, wait_until

#: What a real disk may answer to a write.
ERRORS = (errno.EIO, errno.ESTALE, errno.EACCES, errno.EDQUOT)


@pytest.fixture
def barriers(here):
    return Barriers(here)


def data(learner):
    return Path(f"data/{learner}.pickle")


def n_saved(learner, index=0):
    with suppress(FileNotFoundError, gzip.BadGzipFile):
        return len(saved_points(learner, data(index)))
    return 0


def trouble(index=0):
    """Return what the manager knows to hinder a learner's job."""
    told = [record.text for record in records(events.Troubled) if record.learner == index]
    return told[-1] if told else ""


def check_that_all_is_well(run, ledger):
    assert run.status() == "finished"
    run.load_learners()
    for index, learner in enumerate(run.learners):
        assert points(learner) == ledger.points(index) == set(range(N_POINTS))
        assert len(ledger.jobs(index)) == 1  # the job went on, whatever happened
    assert ledger.twice() == []
    assert {entry.name for entry in Path("data").iterdir()} == {
        data(i).name for i in range(len(run.learners))
    }


# What file systems answer.


def test_a_job_computes_on_while_its_data_cant_be_saved_and_saves_it_later(
    make_run, ledger, barriers, here
):
    signs = [here / errno.errorcode[number] for number in ERRORS]
    functions = [
        OnFailingDisk(barriers.function(ledger.path, i), sign) for i, sign in enumerate(signs)
    ]
    learners = [adaptive.SequenceLearner(f, list(range(N_POINTS))) for f in functions]
    run = make_run(learners, max_cores=len(ERRORS), scheduler=sequential(len(ERRORS)))
    run.start()
    everywhere = range(len(ERRORS))
    wait_until(lambda: all(n_saved(learners[i], i) == FIRST for i in everywhere))
    for number, sign in zip(ERRORS, signs, strict=True):
        make_failing(sign, number)
    barriers.first.touch()
    for index, number in enumerate(ERRORS):
        wait_until(lambda i=index: len(ledger.points(i)) == SECOND)
        wait_until(lambda i=index, n=number: os.strerror(n) in trouble(i))
        assert n_saved(learners[index], index) == FIRST
        assert str(data(index)) in trouble(index)
    assert all(os.strerror(number) in str(said("could not save")) for number in ERRORS)
    for sign in signs:
        sign.unlink()
    wait_until(lambda: all(n_saved(learners[i], i) == SECOND for i in everywhere))
    wait_until(lambda: not any(map(trouble, everywhere)))
    # Now the goal is reached, and only the last save fails.
    for number, sign in zip(ERRORS, signs, strict=True):
        make_failing(sign, number)
    barriers.second.touch()
    for index, number in enumerate(ERRORS):
        wait_until(lambda i=index: len(ledger.points(i)) == N_POINTS)
        wait_until(lambda i=index, n=number: os.strerror(n) in trouble(i))
    assert records(events.Done) == records(events.Failed) == []
    for sign in signs:
        sign.unlink()
    run.wait()
    check_that_all_is_well(run, ledger)


def sequential(cores):
    return Local(cores=1, max_cores=cores, executor_type="sequential", kill_wait=20)


def test_a_slow_disk_keeps_no_job_from_computing_and_reporting(make_run, ledger, barriers, here):
    sign = here / "sign"
    function = OnFailingDisk(barriers.function(ledger.path), sign)
    learner = adaptive.SequenceLearner(function, list(range(N_POINTS)))
    run = make_run([learner], scheduler=sequential(1))
    run.start()
    wait_until(lambda: n_saved(learner) == FIRST)
    make_failing(sign, SLOW)
    barriers.first.touch()
    wait_until(lambda: run.info(format="data").npoints == SECOND)
    assert n_saved(learner) == FIRST
    barriers.second.touch()
    wait_until(lambda: len(ledger.points(0)) == N_POINTS)
    sign.unlink()
    run.wait()
    check_that_all_is_well(run, ledger)


# Real file systems.


@pytest.fixture
def small_disk(here):
    """Return a function that puts a file system of one megabyte in the place of a folder."""
    mounted = []

    def mount(folder):
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(folder)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("To mount a file system takes the rights of root.")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk):
    """Leave no room on a disk, and return the file that takes it up."""
    path = disk / "filler"
    with path.open("ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            with pytest.raises(OSError, match="No space left"):
                write_for_ever(file, size)
    return path


def write_for_ever(file, size):
    while True:
        file.write(bytes(size))


@pytest.fixture
def stopped(make_run, ledger, barriers):
    """Return a function that starts a run and waits until its first points are saved."""

    def start():
        function = barriers.function(ledger.path)
        learner = adaptive.SequenceLearner(function, list(range(N_POINTS)))
        run = make_run([learner])
        run.start()
        wait_until(lambda: n_saved(learner) == FIRST)
        return run

    return start


def test_a_full_disk_for_data_costs_nothing(stopped, ledger, barriers, small_disk, here):
    disk = small_disk(here / "data")
    run = stopped()
    filler = fill(disk)
    barriers.first.touch()
    wait_until(lambda: len(ledger.points(0)) == SECOND)
    wait_until(lambda: "No space left on device" in trouble())
    assert n_saved(run.learners[0]) == FIRST
    filler.unlink()
    barriers.second.touch()
    run.wait()
    check_that_all_is_well(run, ledger)


def test_a_disk_that_can_only_be_read_for_a_while_costs_nothing(
    stopped, ledger, barriers, small_disk, here
):
    disk = small_disk(here / "data")
    run = stopped()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    barriers.first.touch()
    barriers.second.touch()
    wait_until(lambda: len(ledger.points(0)) == N_POINTS)
    wait_until(lambda: "Read-only file system" in trouble())
    assert n_saved(run.learners[0]) == FIRST
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    run.wait()
    check_that_all_is_well(run, ledger)


def test_a_full_disk_for_the_run_folder_ends_neither_the_run_nor_its_jobs(
    make_run, ledger, gate, small_disk, here
):
    n = 60  # so many that their records don't fit into what is left of the journal's last block
    disk = small_disk(here / "run-run")
    functions = [Noted(ledger.path, i, gate=gate) for i in range(n)]
    run = make_run([adaptive.SequenceLearner(function, [0]) for function in functions])
    run.start()
    wait_until(lambda: len(ledger.begun()) == 2)
    filler = fill(disk)
    gate.touch()
    wait_until(lambda: "No space left on device" in run.info(format="text"))
    assert len(ledger.returned()) < n
    filler.unlink()
    run.wait()
    assert run.status() == "finished"
    assert ledger.twice() == []
    assert sorted(record.learner for record in records(events.Done)) == list(range(n))
    assert len(ledger.jobs()) == 2


def test_a_run_that_cant_be_started_on_a_full_disk_is_started_when_there_is_room(
    make_run, small_disk, here
):
    disk = small_disk(here / "disk")

    def make():
        return make_run([adaptive.SequenceLearner(abs, [1])], folder=disk / "run")

    filler = fill(disk)
    with pytest.raises(RunFolderError, match="No space left"):
        make().start()
    filler.unlink()
    make().start().wait()  # nobody holds the lock
    before = records(events.Done, disk / "run" / "journal.jsonl")
    filler = fill(disk)
    with pytest.raises(RunFolderError, match="No space left"):
        make().start()
    assert records(events.Done, disk / "run" / "journal.jsonl") == before
    filler.unlink()
    again = make()
    again.start().wait()
    assert again.status() == "finished"
    assert records(events.Done, disk / "run" / "journal.jsonl") == before


def test_jobs_whose_script_cant_be_written_are_submitted_when_it_can(make_run, small_disk, here):
    disk = small_disk(here / "scripts")
    (here / "queue").mkdir()
    filler = fill(disk)
    scheduler = Played(here / "queue", batch_folder=disk)
    run = make_run([adaptive.SequenceLearner(abs, [1])], scheduler=scheduler)
    run.start()
    wait_until(lambda: "No space left" in run.info(format="text"))
    assert scheduler.queue() == {}
    filler.unlink()
    wait_until(scheduler.queue)
    assert run.status() == "running"


def test_a_run_whose_submission_waits_for_the_disk_can_be_cancelled(make_run, here, monkeypatch):
    flush = Journal.flush

    def full(journal):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (here / "queue").mkdir()
    scheduler = Played(here / "queue")
    monkeypatch.setattr(server, "_LAST_FLUSH_PATIENCE", 0.1)
    run = make_run([adaptive.SequenceLearner(abs, [1])], scheduler=scheduler)
    started = run.database_manager._setup
    monkeypatch.setattr(
        run.database_manager,
        "_setup",
        lambda: (started(), monkeypatch.setattr(Journal, "flush", full)),
    )
    run.start()
    wait_until(lambda: "No space left on device" in run.info(format="text"))
    with ThreadPoolExecutor(1) as pool:
        cancelling = pool.submit(run.cancel)
        try:
            cancelling.result(PATIENCE)
        finally:
            monkeypatch.setattr(Journal, "flush", flush)
    wait_until(lambda: run.status() == "cancelled")
    assert scheduler.queue() == {}  # nothing was submitted that was not written down before


def test_a_file_that_cant_be_read_is_put_aside_and_told_at_once(stopped, ledger, barriers):
    data(0).parent.mkdir()
    data(0).write_bytes(b"torn")
    run = stopped()
    wait_until(lambda: "torn" not in trouble() and ".unreadable-" in trouble())
    barriers.first.touch()
    barriers.second.touch()
    run.wait()
    (aside,) = Path("data").glob("*.unreadable-*")
    assert aside.read_bytes() == b"torn"
    assert str(aside) in records(events.Troubled)[0].text
    aside.unlink()
    check_that_all_is_well(run, ledger)
