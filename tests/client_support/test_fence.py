"""A job that looks at the journal before it saves sees who has its learner by now."""

from __future__ import annotations

import pytest

from adaptive_scheduler.client_support.fence import Fence, SupersededError
from adaptive_scheduler.protocol.messages import Attempt, Hello, JobIdentity
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import JournalFollower
from adaptive_scheduler.run_folder.outbox import Outbox
from tests.journals import BEGAN, open_journal

ME, OTHER = JobIdentity("1"), JobIdentity("2")
MINE = Attempt(learner=0, number=3)


@pytest.fixture
def journal(tmp_path):
    journal = open_journal(tmp_path / "journal.jsonl")
    yield journal
    journal.close()


@pytest.fixture
def outbox(tmp_path):
    (tmp_path / "outbox").mkdir()
    return Outbox(tmp_path / "outbox")


@pytest.fixture
def fence(journal, outbox):
    """Return the fence of a job that had its learner after others had it."""
    write(journal, assigned(1, OTHER), assigned(2, JobIdentity("3")))
    return Fence(journal.path, outbox, ME)


def assigned(number, job, learner=0):
    return events.Assigned(
        time=0.0, learner=learner, number=number, job=job, job_name="run-0", job_number=0
    )


def write(journal, *records):
    for record in records:
        journal.append(record)
    journal.flush()


def test_a_job_that_still_has_its_learner_may_save(journal, fence):
    write(journal, assigned(3, ME), assigned(1, OTHER, learner=1))
    fence.check(MINE)


def test_a_job_whose_learner_went_to_another_one_may_not(journal, fence):
    write(journal, assigned(3, ME))
    fence.check(MINE)
    write(journal, assigned(4, OTHER))
    for _ in range(2):
        with pytest.raises(SupersededError, match="learner 0"):
            fence.check(MINE)


def test_a_job_that_got_its_learner_again_may(journal, fence):
    write(journal, assigned(3, ME), assigned(4, OTHER), assigned(5, ME))
    fence.check(Attempt(0, 5))


def test_a_later_start_of_the_same_job_counts_as_another_job(journal, fence):
    write(journal, assigned(3, ME), assigned(4, JobIdentity("1", restarts=1)))
    with pytest.raises(SupersededError):
        fence.check(MINE)


def test_a_compaction_hides_nothing(journal, fence):
    was = events.LearnerWas(time=0.0, learner=0, state="running", attempt=4, job=OTHER)
    journal.compact([BEGAN, was])
    with pytest.raises(SupersededError):
        fence.check(MINE)


def test_a_compaction_before_anybody_else_came_changes_nothing(journal, fence):
    was = events.LearnerWas(time=0.0, learner=0, state="ready", attempt=2, job=OTHER)
    journal.compact([BEGAN, was])
    fence.check(MINE)


def test_a_job_that_took_the_learner_unasked_is_another_job_too(outbox, fence):
    later = Attempt(0, 4)
    hello = Hello(OTHER, "run-0", 0, "host", 1, "log", holding=later)
    outbox.claim(later, hello)
    with pytest.raises(SupersededError):
        fence.check(MINE)


def test_without_a_journal_nobody_is_known_to_have_come(tmp_path, outbox):
    Fence(tmp_path / "none", outbox, ME).check(MINE)


def test_a_journal_that_cannot_be_read_keeps_nobody_from_saving(tmp_path, outbox):
    path = tmp_path / "journal.jsonl"
    fence = Fence(path, outbox, ME)
    path.write_bytes(b"no record\n")
    fence.check(MINE)


def test_who_follows_a_journal_reads_each_record_once_and_whole(journal):
    write(journal, assigned(1, OTHER))
    follower = JournalFollower(journal.path, from_end=True)
    assert list(follower.new_records()) == []
    write(journal, assigned(2, ME), assigned(3, OTHER))
    assert list(follower.new_records()) == [assigned(2, ME), assigned(3, OTHER)]
    assert list(follower.new_records()) == []


def test_a_journal_that_got_the_number_of_one_long_deleted_is_read_from_its_start(journal):
    write(journal, *(assigned(number, OTHER) for number in range(1, 9)))
    follower = JournalFollower(journal.path, from_end=True)
    # As after two compactions, of which the follower has seen neither.
    began, *text = journal.path.read_bytes().splitlines(keepends=True)
    later = began.replace(b'"time":1.0', b'"time":9.0')
    journal.path.write_bytes(b"".join([later, text[7], text[0]]))
    assert list(follower.new_records())[1:] == [assigned(8, OTHER), assigned(1, OTHER)]
    assert list(follower.new_records()) == []


@pytest.mark.parametrize("cut", [1, 50])
def test_a_line_that_was_being_written_is_read_when_it_is_whole(journal, cut):
    write(journal, assigned(1, OTHER))
    line = b'{"event":"done","learner":7,"time":0.0}' + b" " * 200_000 + b"\n"
    with journal.path.open("ab") as file:
        file.write(line[:-cut])
        file.flush()
        follower = JournalFollower(journal.path, from_end=True)
        assert list(follower.new_records()) == []
        file.write(line[-cut:])
        file.flush()
        assert list(follower.new_records()) == [events.Done(time=0.0, learner=7)]
