"""What jobs leave for the manager: whole, in order, and each learner claimed by one job only."""

from __future__ import annotations

import errno
import os
import threading

import msgspec
import pytest

from adaptive_scheduler.protocol.messages import (
    Attempt,
    Done,
    Failed,
    Hello,
    JobIdentity,
    Released,
)
from adaptive_scheduler.run_folder.outbox import Outbox

JOB = JobIdentity("7")
ATTEMPT = Attempt(3, 1)
DONE = Done(JOB, ATTEMPT, {"npoints": 12, "latest_loss": None})


def hello(job_id="7", holding=ATTEMPT):
    return Hello(JobIdentity(job_id), "sweep-3", 3, "node1", 99, "/logs/sweep-3.log", holding)


@pytest.fixture
def outbox(tmp_path):
    return Outbox(tmp_path)


def messages(outbox):
    return [message for _, message in outbox.messages()]


def test_what_was_put_is_found_in_the_order_in_which_it_was_put(outbox):
    left = [
        DONE,
        Failed(JOB, Attempt(4, 2), "ValueError: no", "Traceback ..."),
        Released(JOB, Attempt(5, 1), "The job got SIGTERM."),
    ]
    for message in left:
        outbox.put(message)
    assert messages(outbox) == left


def test_a_claim_comes_before_what_its_job_reports(outbox):
    outbox.claim(ATTEMPT, hello())
    outbox.put(DONE)
    assert messages(outbox) == [hello(), DONE]


def test_an_order_that_the_clock_of_the_disk_does_not_tell_is_that_of_the_names(outbox):
    outbox.claim(ATTEMPT, hello())
    outbox.put(DONE)
    outbox.put(Released(JOB, Attempt(5, 1), "enough"))
    for path, _ in outbox.messages():
        os.utime(path, (1e9, 1e9))
    assert [type(message) for message in messages(outbox)] == [Hello, Done, Released]


def test_an_empty_outbox_has_no_messages(outbox):
    assert messages(outbox) == []


def test_a_message_stays_until_its_file_is_deleted(outbox):
    outbox.put(DONE)
    ((path, message),) = outbox.messages()
    assert message == DONE
    path.unlink()
    assert messages(outbox) == []


# Claims.


def test_one_of_many_jobs_gets_the_learner(outbox):
    n_jobs = 20
    all_there = threading.Barrier(n_jobs)
    winners = []

    def try_to_claim(job_id):
        all_there.wait()
        if outbox.claim(ATTEMPT, hello(job_id)):
            winners.append(job_id)

    jobs = [threading.Thread(target=try_to_claim, args=[str(i)]) for i in range(n_jobs)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert len(winners) == 1
    assert messages(outbox) == [hello(winners[0])]


def test_each_attempt_is_claimed_by_itself(outbox):
    assert outbox.claim(Attempt(3, 1), hello())
    assert outbox.claim(Attempt(3, 2), hello("8", Attempt(3, 2)))
    assert outbox.claim(Attempt(31, 2), hello("9", Attempt(31, 2)))
    assert not outbox.claim(Attempt(3, 2), hello("10", Attempt(3, 2)))


def test_a_claim_can_be_seen_and_taken_back(outbox):
    assert not outbox.is_claimed(ATTEMPT)
    outbox.claim(ATTEMPT, hello())
    assert outbox.is_claimed(ATTEMPT)
    outbox.unclaim(ATTEMPT)
    assert not outbox.is_claimed(ATTEMPT)
    outbox.unclaim(ATTEMPT)
    assert outbox.claim(ATTEMPT, hello("8"))


def test_a_claim_that_could_not_be_written_is_none(outbox, monkeypatch):
    def fail(fd):
        raise OSError(errno.ENOSPC, f"No space left on device: {fd}")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space left"):
            outbox.claim(ATTEMPT, hello())
    assert not outbox.is_claimed(ATTEMPT)
    assert outbox.claim(ATTEMPT, hello())


def test_a_report_that_could_not_be_written_is_not_seen(outbox, monkeypatch):
    def fail(fd):
        raise OSError(errno.ENOSPC, f"No space left on device: {fd}")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        outbox.put(DONE)
    assert list(outbox.folder.iterdir()) == []


# Files that are none of ours.


@pytest.mark.parametrize(
    "garbage", [b"", b"{", b"\xff\xfe", b'{"type": "done", "job": ["\xff", 0]}', b"[1, 2]"]
)
def test_a_file_that_holds_no_message_is_shown_as_none(outbox, tmp_path, garbage):
    outbox.put(DONE)
    (tmp_path / "odd.json").write_bytes(garbage)
    assert sorted(map(str, messages(outbox))) == sorted([str(DONE), "None"])


def test_other_files_are_left_alone(outbox, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".report-1.new").write_bytes(msgspec.json.encode(DONE))
    assert messages(outbox) == []


def test_a_message_that_vanishes_while_the_outbox_is_read_is_left_out(outbox):
    outbox.claim(ATTEMPT, hello())
    outbox.put(DONE)
    reading = outbox.messages()
    assert next(reading)[1] == hello()
    for path in outbox.folder.glob("report-*"):
        path.unlink()
    assert list(reading) == []


def test_who_begins_anew_keeps_what_was_left_under_another_name(tmp_path):
    folder = tmp_path / "outbox"
    folder.mkdir()
    outbox = Outbox(folder)
    outbox.put_aside("-until-now")
    assert [path.name for path in tmp_path.iterdir()] == ["outbox"]
    outbox.put(DONE)
    outbox.put_aside("-until-now")
    assert messages(outbox) == []
    assert messages(Outbox(tmp_path / "outbox-until-now")) == [DONE]


def test_a_report_does_not_make_the_folder_of_a_run_that_was_moved_again(tmp_path):
    with pytest.raises(FileNotFoundError):
        Outbox(tmp_path / "run-run/outbox").put(DONE)
    assert not list(tmp_path.iterdir())
