"""The database of `Local` holds each job in one place, whatever happens to its file."""

from __future__ import annotations

import resource
import signal
import sqlite3
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.scheduler.local.database import (
    REMEMBERED_ENDS,
    Batch,
    Database,
    JobKey,
)

SHOWN = {"job_name": "job-\udcff", "token": "token", "submitted": 1.5}


def batch(cores=1, **launch):
    return Batch(cores, 2, 30.0, SHOWN, {"script": "#!/bin/bash\n", **launch})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.sqlite"


@pytest.fixture
def database(path):
    database = Database(path)
    yield database
    database.close()


def content(database):
    jobs = [database.jobs(running=running) for running in (True, False)]
    return (database.batches(), jobs, database.next_pending())


steps = st.one_of(
    st.tuples(st.just("submit"), st.sets(st.integers(0, 9), min_size=1, max_size=5)),
    st.tuples(st.just("start"), st.none()),
    st.tuples(st.just("end"), st.integers(0, 20)),
    st.tuples(st.just("cancel"), st.integers(0, 20)),
    st.tuples(st.just("reopen"), st.none()),
)


@given(steps=st.lists(steps, max_size=25))
def test_each_job_waits_or_runs_or_has_ended(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("spool") / "jobs.sqlite"
    database, submitted, waiting, running, ended = Database(path), [], [], [], {}
    for n, (step, value) in enumerate(steps):
        if step == "submit":
            number = database.submit(str(n), value, batch())
            keys = [JobKey(number, each) for each in sorted(value)]
            submitted += keys
            waiting += keys
        elif step == "start" and waiting:
            assert database.next_pending() == (waiting[0], 1, 2)
            database.start(waiting[0])
            running.append(waiting.pop(0))
        elif step == "end" and running:
            key = running.pop(value % len(running))
            database.end([key], "FAILED", value, "why")
            ended[str(key)] = {"state": "FAILED", "exit_code": value, "reason": "why"}
        elif step == "cancel" and submitted:
            key = submitted[value % len(submitted)]
            assert database.is_pending(key) == (key in waiting)
            if key in waiting:
                database.end([key], "CANCELLED")
                waiting.remove(key)
                ended[str(key)] = {"state": "CANCELLED", "exit_code": None, "reason": ""}
        elif step == "reopen":
            database.close()
            database = Database(path)
        assert database.jobs(running=False) == waiting
        assert database.jobs(running=True) == sorted(running)
        assert all(map(database.knows, submitted))
        assert database.ends(map(str, submitted)) == ended
        live = {key.batch for key in waiting + running}
        assert set(database.batches()) == live
        assert database.is_empty == (not live)
    assert max(Counter(submitted).values(), default=1) == 1  # no number is used again
    database.close()


def test_what_the_queue_shows_and_how_jobs_start_is_kept_as_it_was(database):
    number = database.submit("one", [0], batch(environment={"A": "\udcff\n"}))
    assert database.batch(number) == batch(environment={"A": "\udcff\n"})
    assert database.batches() == {number: SHOWN}


def test_a_submission_that_is_sent_again_is_done_once_even_if_its_jobs_have_ended(database):
    number = database.submit("one", [0], batch())
    database.end([JobKey(number, 0)], "COMPLETED", 0)
    assert database.submit("one", [0], batch()) == number
    assert database.is_empty
    assert database.submit("two", [0], batch()) == number + 1


def test_only_so_many_ends_are_remembered(database):
    n = REMEMBERED_ENDS + 5
    number = database.submit("one", range(n), batch())
    database.end([JobKey(number, i) for i in range(n)], "CANCELLED")
    ids = [f"{number}_{i}" for i in range(n)]
    assert list(database.ends(ids)) == ids[5:]


def test_the_file_does_not_grow_for_ever(database, path):
    for word in map(str, range(300)):
        number = database.submit(word, [0], batch(script="x" * 10_000))
        database.end([JobKey(number, 0)], "COMPLETED", 0)
    assert path.stat().st_size < 200_000


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"no database at all" * 1000,
        lambda content: content[: len(content) // 2],
        lambda content: content[:4096] + b"\0" * 4096 + content[8192:],
        lambda content: content[:100] + b"\xff" * 3000 + content[3100:],
        lambda content: content.replace(b'"token": "token"', b'"token": "tok\0n"'),
    ],
    ids=["another file", "cut off", "a page of zeros", "garbage", "a text that is no JSON"],
)
def test_a_damaged_file_is_kept_and_another_one_begun(path, damage):
    database = Database(path)
    first = database.submit("one", range(1000), batch())
    database.close()
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    again = Database(path)
    assert again.damaged == path.with_name("damaged-1.sqlite")
    assert again.damaged.read_bytes() == damaged
    assert again.is_empty
    again.submit("two", [0], batch())
    again.close()
    path.write_bytes(damaged)
    third = Database(path)
    assert third.damaged == path.with_name("damaged-2.sqlite")
    third.adopt(JobKey(first, 3), batch())
    assert third.jobs(running=True) == [JobKey(first, 3)]
    third.close()


def test_numbers_of_jobs_that_were_lost_are_not_given_again(tmp_path):
    numbers = set()
    for name in "abcde":  # within the same second, as when a spool is removed or damaged
        database = Database(tmp_path / name)
        numbers |= {database.submit(str(i), [0], batch()) for i in range(20)}
        database.close()
    assert len(numbers) == 100


@pytest.mark.parametrize("share", [0.0, 0.1, 0.99])
def test_a_commit_that_was_cut_off_by_a_crash_did_not_happen(path, share):
    database = Database(path)
    number = database.submit("one", [0], batch())
    before = content(database)
    wal = path.with_name(path.name + "-wal")
    size = wal.stat().st_size
    database.start(JobKey(number, 0))
    written = wal.read_bytes()
    crashed = path.with_name("crashed.sqlite")
    crashed.write_bytes(path.read_bytes())
    kept = size + int(share * (len(written) - size))
    crashed.with_name("crashed.sqlite-wal").write_bytes(written[:kept])
    database.close()
    again = Database(crashed)
    assert again.damaged is None
    assert content(again) == before
    again.close()


def test_what_does_not_fit_leaves_everything_as_it_was(database, path):
    number = database.submit("one", [0], batch())
    before = content(database)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(sqlite3.OperationalError, match="disk"):
            database.submit("two", range(100_000), batch())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert content(database) == before
    assert database.submit("two", [0], batch()) == number + 1


@pytest.mark.parametrize(
    "text",
    ["", "1", "_", "1_", "_1", "1_x", "1_-1", "01_1", "1_2_3", "²_1", f"{2**63}_1", f"1_{2**63}"],
)
def test_what_is_no_id_names_no_job(text):
    assert JobKey.parse(text) is None


@given(st.integers(0, 10**12), st.integers(0, 10**6))
def test_an_id_names_its_job(number, index):
    assert JobKey.parse(str(JobKey(number, index))) == JobKey(number, index)
