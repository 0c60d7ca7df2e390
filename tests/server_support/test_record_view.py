"""A manager shows what another one writes, until it writes itself."""

from __future__ import annotations

import time

import adaptive
import pytest

from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import JournalFollower
from adaptive_scheduler.scheduler import Local
from adaptive_scheduler.server_support import DatabaseManager, database_manager
from adaptive_scheduler.server_support.event_loop import event_loop
from tests.server_support.full_disk import no_room_for_the_address
from tests.waiting import PATIENCE

SUBMITTED = (
    events.Submitting(time=1.0, token="t", job_name="run", numbers=[0]),
    events.Submitted(time=2.0, token="t", job_ids={0: "7"}),
)


def function(x):
    return x


@pytest.fixture
def managers(tmp_path, monkeypatch, local_spool):
    """Return one that manages a run, and one that only looks at it."""
    monkeypatch.chdir(tmp_path)
    learners = [adaptive.SequenceLearner(function, range(3)) for _ in range(2)]
    writer, looker = (
        DatabaseManager(None, Local(), "run.json", learners, ["0.pickle", "1.pickle"])
        for _ in range(2)
    )
    writer.start()
    looker.record.follow()
    yield writer, looker
    writer.cancel()
    looker.cancel()


def write(manager, *records):
    for record in records:
        event_loop.call(manager.record.append, record)
    assert event_loop.run(manager.flushed(60))


def done(learner):
    return events.Done(time=time.time(), learner=learner)


def test_what_another_writes_is_seen(managers):
    writer, looker = managers
    assert (looker.record.is_following, looker.n_done()) == (True, 0)
    write(writer, done(1))
    assert [row["is_done"] for row in looker.as_dicts()] == [False, True]
    assert (looker.n_done(), looker.n_unscheduled(), looker.is_done()) == (1, 1, False)
    write(writer, done(0))
    assert looker.is_done()


def test_who_asks_on_the_event_loop_does_not_wait_for_who_reads(managers, monkeypatch):
    _, looker = managers
    told = []

    async def ask():
        return looker.n_done()

    def read_slowly(follower):
        del follower
        told.append(event_loop.submit(ask()).result(timeout=PATIENCE))
        return []

    monkeypatch.setattr(JournalFollower, "new_records", read_slowly)
    looker.record.refresh()
    assert told == [0]


def test_what_is_read_while_a_manager_starts_does_not_count_twice(managers, monkeypatch):
    writer, looker = managers
    write(writer, *SUBMITTED)
    writer.cancel()
    write_pack = database_manager.write_pack

    def look_and_write(*args, **keywords):
        looker.record.refresh()
        return write_pack(*args, **keywords)

    monkeypatch.setattr(database_manager, "write_pack", look_and_write)
    looker.start()
    assert not looker.record.is_following
    assert looker.state.totals.submitted == 1


def test_who_could_not_start_goes_on_looking(managers):
    writer, looker = managers
    write(writer, *SUBMITTED, done(1))
    writer.cancel()
    with no_room_for_the_address():
        looker.start()
    assert (looker.record.is_following, looker.n_done()) == (True, 1)
    assert looker.state.totals.submitted == 1
