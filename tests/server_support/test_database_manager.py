"""Who has which learner, from the disk and back to it."""

from __future__ import annotations

import asyncio
import os
import time

import adaptive
import pytest

from adaptive_scheduler.protocol import messages
from adaptive_scheduler.protocol.server import get_allowed_url
from adaptive_scheduler.run_folder import events, outbox_reader
from adaptive_scheduler.run_folder.journal import Journal, read_journal
from adaptive_scheduler.run_folder.outbox import Outbox
from adaptive_scheduler.scheduler import Local
from adaptive_scheduler.server_support import DatabaseManager, restore
from adaptive_scheduler.server_support.event_loop import event_loop
from tests.server_support.full_disk import no_room_for_the_address
from tests.waiting import wait_until

JOB, OTHER = messages.JobIdentity("7"), messages.JobIdentity("8")


def function(x):
    return x


@pytest.fixture
def make(tmp_path, monkeypatch, local_spool):
    """Return a function that makes managers of one run, of which the last may be open."""
    monkeypatch.chdir(tmp_path)
    managers = []

    def make(url=None, **keywords):
        for manager in managers:
            manager.cancel()
        learners = [adaptive.SequenceLearner(function, range(3)) for _ in range(2)]
        fnames = ["0.pickle", "1.pickle"]
        managers.append(DatabaseManager(url, Local(), "run.json", learners, fnames, **keywords))
        return managers[-1]

    yield make
    for manager in managers:
        manager.cancel()


def assigned(learner=0, job=JOB):
    return events.Assigned(
        time=time.time(), learner=learner, number=1, job=job, job_name="run-0", job_number=0
    )


def hello(job=JOB, holding=None):
    return messages.Hello(job, "run-0", 0, "node1", 99, "/log", holding)


def states(manager):
    return [row["state"] for row in manager.as_dicts()]


@pytest.fixture
def left_alone(make):
    """Return a function that makes the next manager, after a job has left its report."""
    first = make().start()
    event_loop.call(first.record.append, assigned())
    first.cancel()
    Outbox(first.run_folder.outbox).put(messages.Done(JOB, messages.Attempt(0, 1), {}))
    return make


def test_what_jobs_have_left_is_known_before_anybody_is_answered(left_alone):
    manager = left_alone().start()
    assert states(manager) == ["done", "ready"]
    assert list(manager.run_folder.outbox.iterdir()) == []
    assert any(isinstance(r, events.Done) for r in read_journal(manager.run_folder.journal))


def test_who_begins_anew_does_not_hear_what_jobs_had_left(left_alone):
    manager = left_alone(overwrite_db=True).start()
    assert states(manager) == ["ready", "ready"]
    (aside,) = manager.run_folder.root.glob("outbox-until-*")
    assert len(list(aside.iterdir())) == 1


def test_a_journal_that_cant_be_made_shorter_is_gone_on_with(make, monkeypatch, caplog):
    first = make().start()
    event_loop.call(first.record.append, assigned())
    event_loop.call(first.record.append, events.Done(time=1.0, learner=0))
    first.cancel()
    monkeypatch.setattr(restore, "_COMPACT_ABOVE", 0)
    monkeypatch.setattr(restore, "_COMPACT_LINES_PER_LEARNER", 0)
    fsync = os.fsync

    def fail_at_first(fd):
        monkeypatch.setattr(os, "fsync", fsync)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail_at_first)
    manager = make().start()
    assert states(manager) == ["done", "ready"]
    assert "stays as long as it is: [Errno 28] No space left" in caplog.text
    kinds = [type(record).__name__ for record in read_journal(manager.run_folder.journal)]
    assert kinds == ["RunBegan", "ManagerStarted", "Assigned", "Done", "ManagerStarted"]
    assert states(make().start()) == ["done", "ready"]  # this one makes it shorter


def test_who_could_not_publish_its_address_can_start_again_at_the_same(make):
    manager = make(get_allowed_url())
    with no_room_for_the_address():
        manager.start()
    assert states(manager.start()) == ["ready", "ready"]


def test_a_file_that_holds_no_message_is_kept_aside_once_and_reported(make, monkeypatch):
    monkeypatch.setattr(outbox_reader, "_UNREADABLE_FOR", 0.0)
    manager = make().start()
    torn = manager.run_folder.outbox / "report-1-1.json"
    torn.write_bytes(b'{"type": "do')
    event_loop.run(manager.outbox_reader.read())
    event_loop.run(manager.outbox_reader.read())
    (aside,) = manager.run_folder.outbox.iterdir()
    assert aside.name == "report-1-1.json.unreadable"
    assert str(aside) in manager.disk_trouble
    assert manager.outbox_reader.kept_aside == [aside]


def test_a_file_that_may_be_being_written_stays(make):
    manager = make().start()
    claim = manager.run_folder.outbox / "claim-0.1.json"
    claim.touch()
    event_loop.run(manager.outbox_reader.read())
    assert claim.exists()
    assert manager.disk_trouble == ""


def test_an_outbox_that_cannot_be_read_is_trouble_and_no_end(make):
    manager = make().start()
    Outbox(manager.run_folder.outbox).put(messages.Done(JOB, messages.Attempt(0, 1), {}))
    event_loop.call(manager.record.append, assigned())

    def fail(self):
        raise OSError(5, "Input/output error")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Outbox, "messages", fail)
        event_loop.run(manager.outbox_reader.read())
        assert "Input/output error" in manager.disk_trouble
    event_loop.run(manager.outbox_reader.read())
    assert manager.disk_trouble == ""
    assert states(manager) == ["done", "ready"]


def test_what_a_manager_records_is_written_down_though_nobody_asks(make):
    manager = make().start()
    event_loop.call(manager.record.append, events.Cancelled(time=1.0, learner=1))
    wait_until(
        lambda: any(
            isinstance(r, events.Cancelled) for r in read_journal(manager.run_folder.journal)
        )
    )


@pytest.mark.parametrize("is_held", [True, False])
def test_a_learner_that_another_job_has_claimed_is_taken_back_from_whom_it_was_given(make, is_held):
    manager = make().start()
    manager.outbox.claim(messages.Attempt(0, 1), hello(OTHER, messages.Attempt(0, 1)))
    request = messages.Request(1, hello())

    def give():
        answer = manager.handler.handle(request)
        assert answer == messages.Assigned(messages.Attempt(0, 1))
        if not is_held:  # the other one has been heard meanwhile
            manager.record.append(events.Released(time=1.0, learner=0, reason=""))
            manager.record.append(assigned(job=OTHER))
        return manager._confirm(request, answer), manager.state.learners[0].job

    confirmed, holder = event_loop.call(give)
    assert not confirmed
    assert states(manager) == (["ready", "ready"] if is_held else ["running", "ready"])
    assert holder == (JOB if is_held else OTHER)


def test_a_disk_that_takes_nothing_is_waited_for_no_longer_than_one_likes(make, monkeypatch):
    manager = make().start()
    flush = Journal.flush

    def fail(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "flush", fail)
    event_loop.call(manager.record.append, events.Paused(time=1.0))
    assert not event_loop.run(manager.flushed(0.05))
    wait_until(lambda: "No space left" in manager.disk_trouble)
    monkeypatch.setattr(Journal, "flush", flush)
    assert event_loop.run(asyncio.wait_for(manager.flushed(), 60))
    assert manager.disk_trouble == ""
