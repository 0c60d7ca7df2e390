"""A job sees in the journal who has its learner, and which learners nobody else may have."""

from __future__ import annotations

import pytest

from adaptive_scheduler.client_support.fence import (
    Fence,
    FollowedRun,
    SupersededError,
)
from adaptive_scheduler.protocol.messages import Attempt, Hello, JobIdentity
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import JournalFollower
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.run_folder.outbox import Outbox
from adaptive_scheduler.run_folder.spec import RunSpec
from tests import journals
from tests.journals import BEGAN, open_journal
from tests.server_support.fake_manager import Job, Manager

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


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def rewrite(path, records):
    path.unlink(missing_ok=True)
    journals.write(path, *records)


def spec_of(journal, **options):
    return RunSpec(run_folder=RunFolder.at("/run", journal=journal), **options)


def free(path, manager, number=0, **options):
    """Return the learners that a job may take after what has happened, and their attempts."""
    rewrite(path, manager.journal)
    run = FollowedRun(spec_of(path, **options), len(manager.state.learners))
    return [(a.learner, a.number) for a in run.free_attempts(number)]


def test_all_learners_are_free_before_the_first_record(path):
    assert free(path, Manager([0, 0])) == [(0, 1), (1, 1)]


def test_a_job_takes_its_own_learner_first(path):
    assert free(path, Manager([0, 0, 0]), number=2) == [(2, 1), (0, 1), (1, 1)]


def test_jobs_take_learners_of_their_own_group(path):
    manager = Manager(["a", "b", "a"])
    assert free(path, manager, number=2, groups=[0, 1, 0]) == [(2, 1), (0, 1)]
    assert free(path, manager, number=1, groups=[0, 1, 0]) == [(1, 1)]


def test_a_learner_must_have_what_it_needs(path):
    manager = Manager([0, 0], dependencies={1: [0]})
    assert free(path, manager, dependencies={1: [0]}) == [(0, 1)]
    job = Job(manager, 0)
    job.hello()
    job.done()
    assert free(path, manager, dependencies={1: [0]}) == [(1, 1)]


def test_nothing_is_free_when_the_run_has_ended(path):
    manager = Manager([0])
    manager.record.append(events.RunEnded(time=1.0, status="cancelled"))
    assert free(path, manager) == []
    manager.record.append(journals.STARTED)
    assert free(path, manager) == [(0, 1)]


@pytest.mark.parametrize("how", ["failed", "released"])
def test_what_a_job_gave_back_is_free_under_the_next_number(path, how):
    manager = Manager([0])
    job = Job(manager, 0)
    job.hello()
    assert free(path, manager) == []
    getattr(job, how)()
    assert free(path, manager) == [(0, 2)]


def test_what_a_job_had_that_is_gone_is_free(path):
    manager = Manager([0])
    Job(manager, 0).hello()
    manager.job_gone("0")
    assert free(path, manager) == [(0, 2)]


@pytest.mark.parametrize("how", ["failed", "released"])
def test_the_end_of_a_job_does_not_free_what_it_gave_back_and_another_has(path, how):
    manager = Manager([0])
    first, second = Job(manager, 0), Job(manager, 0, "second")
    first.hello()
    getattr(first, how)()
    second.hello()
    manager.job_gone("0")
    assert free(path, manager) == []


def test_a_job_that_took_another_learner_has_left_the_first(path):
    manager = Manager([0, 0])
    job = Job(manager, 0)
    job.hello()
    job.hello(Attempt(1, 1))
    assert free(path, manager) == [(0, 2)]


def test_what_was_given_up_before_a_compaction_is_not_free(path):
    manager = Manager([0, 0], max_fails=1)
    job = Job(manager, 0)
    job.hello()
    job.failed()
    manager.journal, _ = manager.compacted()
    assert free(path, manager) == [(1, 1)]
    manager.record.append(events.Retried(time=1.0, learner=0))
    assert free(path, manager) == [(0, 2), (1, 1)]


@pytest.mark.parametrize("is_compacted", [False, True])
def test_what_has_failed_too_often_is_not_free(path, is_compacted):
    manager = Manager([0, 0], max_fails=3)
    job = Job(manager, 0)
    for _ in range(2):
        job.hello(Attempt(0, manager.state.learners[0].attempt + 1))
        job.failed()
    assert free(path, manager, max_fails_per_job=3) == [(0, 3), (1, 1)]
    job.hello(Attempt(0, 3))
    if is_compacted:
        manager.journal, _ = manager.compacted()
    manager.job_gone("0")  # that is a failure, too
    assert manager.states() == ["failed", "ready"]
    assert free(path, manager, max_fails_per_job=3) == [(1, 1)]
    manager.record.append(events.Retried(time=1.0, learner=0))
    assert free(path, manager, max_fails_per_job=3) == [(0, 4), (1, 1)]


@pytest.mark.parametrize("is_compacted", [False, True])
def test_what_the_user_has_cancelled_is_not_free_until_it_is_retried(path, is_compacted):
    manager = Manager([0, 0, 0])
    job = Job(manager, 0)
    job.hello()
    for learner in (0, 1):
        manager.record.append(events.Cancelled(time=1.0, learner=learner))
    if is_compacted:
        manager.journal, _ = manager.compacted()
    assert free(path, manager) == [(2, 1)]
    assert FollowedRun(spec_of(path), 3).given_attempt(job.identity) is None
    manager.job_gone("0")
    assert free(path, manager) == [(2, 1)]
    for learner in (0, 1):
        manager.record.append(events.Retried(time=2.0, learner=learner))
    assert free(path, manager) == [(0, 2), (1, 1), (2, 1)]


def test_what_is_reopened_is_free(path):
    manager = Manager([0])
    job = Job(manager, 0)
    job.hello()
    job.done()
    assert free(path, manager) == []
    manager.record.append(events.Reopened(time=1.0, learner=0))
    assert manager.states() == ["ready"]
    assert free(path, manager) == [(0, 2)]


def test_a_job_that_never_began_counts_against_its_own_learner(path):
    manager = Manager([0, 0], max_fails=1)
    manager.submit(0, 1)
    manager.job_gone("0")
    assert manager.states() == ["failed", "ready"]
    assert free(path, manager, max_fails_per_job=1) == [(1, 1)]


def test_a_job_knows_what_it_was_given_though_it_did_not_hear_so(path):
    manager = Manager([0, 0])
    manager.submit(0, 1)
    Job(manager, 1).hello()
    rewrite(path, manager.journal)
    run = FollowedRun(spec_of(path), 2)
    assert run.given_attempt(JobIdentity("1")) == Attempt(1, 1)
    assert run.given_attempt(JobIdentity("1", 1)) is None  # the first may live on
    assert run.given_attempt(JobIdentity("0")) is None
    journals.write(path, events.RunEnded(time=1.0, status="cancelled"))
    assert run.given_attempt(JobIdentity("1")) is None


def test_an_attempt_that_the_manager_has_given_out_is_known(path):
    manager = Manager([0, 0])
    Job(manager, 0).hello()
    rewrite(path, manager.journal)
    run = FollowedRun(spec_of(path), 2)
    assert run.was_assigned(Attempt(0, 1))
    assert not run.was_assigned(Attempt(0, 2))
    assert not run.was_assigned(Attempt(1, 1))


@pytest.mark.parametrize(
    ("story", "is_free"),
    [
        # It fails, runs again, is cancelled and retried while it runs, and fails.
        (["ask", "failed", "ask", "cancel", "retry", "failed"], False),
        # It fails, is done, reopened, and fails.
        (["ask", "failed", "ask", "done", "reopen", "ask", "failed"], True),
    ],
)
def test_a_job_that_is_alone_counts_failures_as_the_manager_does(path, story, is_free):
    manager = Manager([0], max_fails=2)
    job = Job(manager, 0)
    other = {"cancel": events.Cancelled, "retry": events.Retried, "reopen": events.Reopened}
    for step in story:
        if step in other:
            manager.record.append(other[step](time=manager.now, learner=0))
        else:
            {"ask": job.hello, "failed": job.failed, "done": job.done}[step]()
    assert manager.states() == ["ready" if is_free else "failed"]
    assert bool(free(path, manager, max_fails_per_job=2)) == is_free


def test_a_job_is_known_by_its_id_whatever_process_of_it_asks(path):
    manager = Manager([0])
    job = Job(manager, 0)
    job.hello()
    job.restarted().hello()
    assert free(path, manager) == []
    assert manager.state.learners[0].job == JobIdentity("0", 1)
    manager.job_gone("0")
    assert free(path, manager) == [(0, 3)]


def test_a_job_follows_what_a_later_manager_has_declared(path):
    manager = Manager([0, 0], max_fails=3)
    job = Job(manager, 0)
    for _ in range(2):
        job.hello()
        job.failed()
    rewrite(path, manager.journal)
    run = FollowedRun(spec_of(path, max_fails_per_job=3), 2)
    assert [a.learner for a in run.free_attempts(0)] == [0, 1]
    run.renew(spec_of(path, max_fails_per_job=2))
    assert [a.learner for a in run.free_attempts(0)] == [1]
    run.renew(spec_of(path, max_fails_per_job=2, dependencies={1: [0]}))
    assert [a.learner for a in run.free_attempts(0)] == []
