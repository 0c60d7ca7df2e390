"""What jobs are told: whatever is lost, repeated or late, each learner has one job."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from adaptive_scheduler.protocol import messages
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.models import (
    CANCELLED,
    DELAYED,
    DONE,
    FAILED,
    READY,
    RUNNING,
    WAITING,
)
from adaptive_scheduler.server_support import message_handler
from adaptive_scheduler.version import __version__
from tests.run_folder.test_state import steps_of
from tests.server_support.fake_manager import Job, Manager, check_consistency


@pytest.fixture
def manager():
    return Manager([0, 0, 0])


@pytest.fixture
def job(manager):
    """A job that has learner 1."""
    job = Job(manager, 1)
    assert job.hello() == messages.Assigned(messages.Attempt(1, 1))
    return job


def kinds(manager):
    return [type(record).__name__ for record in manager.journal]


# The usual life.


def test_a_job_gets_its_own_learner_then_others_then_nothing(manager):
    job = Job(manager, 1)
    for learner in (1, 0, 2):
        assert job.hello() == messages.Assigned(messages.Attempt(learner, 1))
        assert job.status(npoints=3) == messages.Accepted()
        assert job.done(npoints=9, latest_loss=0.1) == messages.Accepted()
    assert job.hello() == messages.NothingLeft()
    assert manager.states() == [DONE] * 3
    assert kinds(manager) == ["Assigned", "Done"] * 3 + ["NothingLeft"]


def test_a_job_of_another_version_is_answered_and_named_once(manager, caplog):
    for number, version in enumerate(("2.9", "2.9", __version__)):
        job = Job(manager, number)
        hello = messages.Hello(
            job.identity, f"sweep-{number}", number, "node1", 99, "/log", version=version
        )
        assert job.send(hello) == messages.Assigned(messages.Attempt(number, 1))
    (words,) = (record.getMessage() for record in caplog.records)
    assert words.startswith(
        f"Job sweep-0 runs adaptive_scheduler 2.9, and its manager {__version__}"
    )


def test_the_last_figures_are_remembered(manager, job):
    job.status(npoints=3)
    job.status(npoints=5)
    assert manager.handler.figures == {1: {"npoints": 5}}
    job.done(npoints=9)
    assert manager.handler.figures == {1: {"npoints": 9}}
    assert manager.state.learners[1].npoints == 9


@pytest.mark.parametrize("npoints", [None, "many", 1.5])
def test_points_that_are_no_number_are_not_written_down(manager, job, npoints):
    job.done(npoints=npoints)
    assert manager.state.learners[1].npoints is None


def test_a_status_is_not_written_down(manager, job):
    job.status(npoints=3)
    assert kinds(manager) == ["Assigned"]


def test_a_failure_is_written_down_with_its_traceback(manager, job):
    assert job.failed("ValueError: no", "Traceback ...") == messages.Accepted()
    entry = manager.state.learners[1]
    assert (entry.state, entry.fails) == (READY, 1)
    assert (entry.error, entry.traceback) == ("ValueError: no", "Traceback ...")


def test_a_released_learner_goes_to_the_next_job_that_asks(manager, job):
    assert job.released() == messages.Accepted()
    assert Job(manager, 0).hello() == messages.Assigned(messages.Attempt(0, 1))
    assert Job(manager, 7, "x").hello() == messages.NothingLeft()
    assert Job(manager, 1, "y").hello() == messages.Assigned(messages.Attempt(1, 2))


def test_a_learner_whose_pause_is_over_is_given_out(manager, monkeypatch):
    monkeypatch.setattr(message_handler, "time", SimpleNamespace(time=lambda: manager.now))
    job = Job(manager, 0)
    for _ in range(2):
        assert job.hello().attempt.learner == 0
        job.failed()
    assert manager.states()[0] == DELAYED
    other = Job(manager, 1)
    assert [other.hello().attempt.learner, Job(manager, 2).hello().attempt.learner] == [1, 2]
    assert job.hello() == messages.NothingLeft()
    manager.now += 1.0
    assert job.hello() == messages.Assigned(messages.Attempt(0, 3))


# Once more.


def twice(job, message):
    """Send a request, and again since no reply came; return both answers."""
    request = messages.Request(1000, message)
    return [job.manager.handler.handle(request) for _ in range(2)]


MESSAGES = {
    "status": lambda job: messages.Status(job.identity, job.holding, {}),
    "done": lambda job: messages.Done(job.identity, job.holding, {}),
    "failed": lambda job: messages.Failed(job.identity, job.holding, "no"),
    "released": lambda job: messages.Released(job.identity, job.holding, "SIGTERM"),
    "hello": lambda job: messages.Hello(job.identity, "sweep-1", 1, "node1", 9, "/log"),
    "hello, holding": lambda job: messages.Hello(
        job.identity, "sweep-1", 1, "node1", 9, "/log", job.holding
    ),
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES.keys())
def test_a_repeated_request_has_the_same_answer_and_no_second_record(manager, job, message):
    first, second = twice(job, message(job))
    assert first == second
    assert len(manager.journal) <= 2
    check_consistency(manager.state)


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES.keys())
def test_a_message_that_is_sent_anew_does_no_harm_either(manager, job, message):
    # A job that gave up waiting sends it under a new number, or leaves it in the outbox.
    first = manager.handler.answer(message(job))
    n_records = len(manager.journal)
    assert manager.handler.answer(message(job)) == first
    assert len(manager.journal) == n_records
    check_consistency(manager.state)


def test_nothing_left_is_written_down_once(manager):
    for number in range(3):
        Job(manager, number).hello()
    late = Job(manager, 0, "late")
    assert [late.hello(), late.hello()] == [messages.NothingLeft()] * 2
    assert kinds(manager) == ["Assigned"] * 3 + ["NothingLeft"]


def test_an_assignment_that_was_not_heard_is_told_again(manager):
    job = Job(manager, 1)
    assert job.hello() == job.hello() == messages.Assigned(messages.Attempt(1, 1))
    assert kinds(manager) == ["Assigned"]


def test_a_late_copy_of_the_first_hello_costs_nobody_a_learner(manager, job):
    job.done()
    manager.handler.handle(job.requests[0])
    job.hello()
    assert manager.states().count(RUNNING) == 1
    check_consistency(manager.state)


def test_a_late_failure_does_not_touch_the_next_attempt(manager, job):
    job.failed()
    assert job.hello() == messages.Assigned(messages.Attempt(1, 2))
    assert manager.handler.handle(job.requests[1]) == messages.Accepted()
    assert manager.state.learners[1].is_held_by(job.identity, 2)
    assert manager.state.learners[1].fails == 1


def test_two_jobs_may_use_the_same_numbers_for_their_requests(manager):
    first, second = Job(manager, 0), Job(manager, 1)
    assert first.hello().attempt != second.hello().attempt


def test_a_job_that_is_forgotten_is_asked_anew(manager, job):
    manager.job_gone("1")
    assert manager.handler.handle(job.requests[0]) == messages.Assigned(messages.Attempt(1, 2))


def test_forgetting_takes_no_longer_with_more_jobs():
    counts = []
    for n in (2, 2000):
        manager = Manager([0] * n)
        for number in range(n):
            Job(manager, number).hello()
        counts.append(steps_of(lambda m=manager: m.handler.forget("1")))
    assert counts[0] == counts[1]


def test_answers_take_no_longer_with_more_learners():
    counts = []
    for n in (4, 10_000):
        manager = Manager([0] * n, dependencies={n - 1: [0]})
        for number in range(1, n // 2):
            Job(manager, number).hello()
        job = Job(manager, 0)
        life = [job.hello, job.status, job.failed, job.hello, job.released, job.hello, job.done]
        counts.append([steps_of(step) for step in life])
    assert counts[0] == counts[1]


# Who comes too late.


def test_a_job_that_was_thought_gone_is_superseded_when_another_has_its_learner(manager, job):
    manager.job_gone("1")
    other = Job(manager, 1, "other")
    assert other.hello() == messages.Assigned(messages.Attempt(1, 2))
    assert job.status() == messages.Superseded()
    assert job.hello(job.holding) == messages.Superseded()
    assert job.done() == messages.Superseded()
    job.failed()
    job.released()
    assert manager.state.learners[1].is_held_by(other.identity, 2)
    assert other.status() == messages.Accepted()


def test_a_job_that_was_thought_gone_goes_on_if_nobody_has_its_learner(manager, job):
    manager.job_gone("1")
    assert job.status() == messages.Superseded()
    assert job.hello(job.holding) == messages.Assigned(messages.Attempt(1, 2))
    assert job.status() == messages.Accepted()


def test_a_job_whose_end_is_known_is_superseded_even_if_nobody_has_its_learner(manager, job):
    # Its node was lost, say, and its process lives on there.
    manager.job_gone("1", is_certain=True)
    assert job.status() == messages.Superseded()
    assert job.hello(job.holding) == messages.Superseded()
    assert job.hello() == messages.Superseded()
    assert manager.states()[1] == READY


def test_a_job_that_is_thought_gone_again_and_again_does_not_come_back_for_ever(manager, job):
    manager.job_gone("1")
    assert job.hello(job.holding) == messages.Assigned(messages.Attempt(1, 2))
    manager.job_gone("1")
    assert job.hello(job.holding) == messages.Superseded()


def test_a_job_whose_end_is_known_may_be_started_again(manager, job):
    manager.job_gone("1", is_certain=True)
    again = Job(manager, 1, job.identity.job_id, restarts=1)
    assert again.hello() == messages.Assigned(messages.Attempt(1, 2))
    assert job.hello(job.holding) == messages.Superseded()


def test_a_job_that_gets_an_id_which_was_given_before_is_another(manager, job):
    manager.job_gone("1", is_certain=True)
    manager.submit(1, token="after the crash of the scheduler")
    assert job.hello() == messages.Assigned(messages.Attempt(1, 2))


def test_a_job_that_has_not_heard_its_new_number_hears_it_when_it_asks_again(manager, job):
    manager.job_gone("1")
    old = job.holding
    assert job.hello(old) == job.hello(old) == messages.Assigned(messages.Attempt(1, 2))
    assert kinds(manager).count("Assigned") == 2


def test_a_job_that_was_thought_gone_may_be_done(manager, job):
    manager.job_gone("1")
    assert job.done() == messages.Accepted()
    assert manager.states()[1] == DONE


def test_a_done_learner_stays_done(manager, job):
    job.done()
    other = Job(manager, 1, "other")
    other.holding = messages.Attempt(1, 2)
    for answer in (other.status(), other.hello(messages.Attempt(1, 2)), job.status()):
        assert answer == messages.Superseded()
    other.failed()
    other.released()
    assert manager.states()[1] == DONE


def test_an_attempt_that_nobody_was_given_is_superseded(manager, job):
    stranger = Job(manager, 0)
    stranger.holding = messages.Attempt(1, 1)
    assert stranger.status() == messages.Superseded()
    stranger.holding = messages.Attempt(1, 9)
    assert stranger.done() == messages.Superseded()
    assert manager.state.learners[1].is_held_by(job.identity, 1)


@pytest.mark.parametrize("kind", ["status", "done", "failed", "released", "hello, holding"])
def test_a_learner_that_does_not_exist_is_superseded(manager, kind):
    job = Job(manager, 0)
    job.holding = messages.Attempt(3, 1)
    assert job.send(MESSAGES[kind](job)) == messages.Superseded()
    assert manager.journal == []


@pytest.mark.parametrize("holding", [None, messages.Attempt(0, 1)])
def test_a_job_with_a_number_that_does_not_exist_gets_nothing(manager, holding):
    assert Job(manager, 3).hello(holding) == messages.NothingLeft()
    assert manager.journal == []


def test_numbers_of_attempts_only_grow(manager):
    job = Job(manager, 0)
    # It has worked unheard, in an attempt of which we know nothing.
    assert job.hello(messages.Attempt(0, 5)) == messages.Assigned(messages.Attempt(0, 5))
    job.released()
    assert Job(manager, 0, "x").hello() == messages.Assigned(messages.Attempt(0, 6))


# Jobs that the scheduler starts again.


def test_a_job_that_was_started_again_gets_its_learner_back_under_a_new_number(manager, job):
    again = job.restarted()
    assert again.hello() == messages.Assigned(messages.Attempt(1, 2))
    assert again.status() == messages.Accepted()
    assert again.done() == messages.Accepted()


def test_the_process_from_before_is_superseded(manager, job):
    again = job.restarted()
    again.hello()
    assert job.status() == messages.Superseded()
    assert job.hello(job.holding) == messages.Superseded()
    assert job.hello() == messages.Superseded()
    assert again.status() == messages.Accepted()
    assert manager.state.learners[1].is_held_by(again.identity, 2)


def test_the_process_from_before_is_superseded_even_if_nothing_was_left(manager):
    first, second, third = (Job(manager, n) for n in range(3))
    for job in (first, second, third):
        job.hello()
    third.done()
    again = third.restarted()
    assert again.hello() == messages.NothingLeft()
    first.released()
    assert third.hello() == messages.Superseded()


def test_a_job_that_released_its_learner_and_was_started_again_asks_as_any_other(manager, job):
    job.released()
    again = job.restarted()
    assert again.hello() == messages.Assigned(messages.Attempt(1, 2))
    assert manager.state.leaving == set()


# Jobs that were alone.


def test_a_job_that_took_a_learner_unasked_may_keep_it(manager):
    job = Job(manager, 2)
    assert job.hello(messages.Attempt(2, 1)) == messages.Assigned(messages.Attempt(2, 1))
    assert job.status() == messages.Accepted()


def test_no_job_makes_the_numbers_grow_until_nobody_can_tell_them(manager):
    job = Job(manager, 0)
    assert job.hello(holding=messages.Attempt(0, messages.MAX_NUMBER)) == messages.Superseded()
    assert job.hello() == messages.Assigned(messages.Attempt(0, 1))


def test_a_job_that_did_not_hear_its_answer_and_took_another_learner_has_one(manager):
    job = Job(manager, 1)
    job.hello()
    assert job.hello(messages.Attempt(2, 1)) == messages.Assigned(messages.Attempt(2, 1))
    assert manager.states() == [READY, READY, RUNNING]
    check_consistency(manager.state)


@pytest.mark.parametrize("state", [WAITING, FAILED])
def test_a_learner_that_cannot_run_is_not_given_to_who_took_it(state):
    manager = Manager([0, 0], dependencies={1: [0]}, max_fails=1)
    if state == FAILED:
        job = Job(manager, 0)
        job.hello()
        job.failed()
    assert manager.states()[1] == state
    other = Job(manager, 1)
    assert other.hello(messages.Attempt(1, 1)) == messages.Superseded()


# The end.


def test_jobs_are_told_to_stop(manager, job):
    manager.handler.stop()
    assert job.status() == messages.Stop()
    assert job.hello(job.holding) == messages.Stop()
    assert Job(manager, 0).hello() == messages.Stop()
    assert manager.states() == [READY, RUNNING, READY]


def test_reports_are_taken_after_the_stop(manager, job):
    manager.handler.stop()
    assert job.released("The run was cancelled.") == messages.Accepted()
    assert manager.states() == [READY] * 3
    other = Job(manager, 1, "other")
    other.holding = messages.Attempt(1, 1)
    assert other.done() == messages.Accepted()


def test_a_superseded_job_does_not_hear_that_it_should_stop_and_save(manager, job):
    job.restarted().hello()
    manager.handler.stop()
    assert job.status() == messages.Superseded()


def test_somebody_at_a_shell_may_cancel(manager, job):
    cancel = messages.Request(1, messages.CancelRun(messages.JobIdentity("shell of host:99")))
    assert manager.handler.handle(cancel) == messages.Accepted()
    assert manager.handler.handle(cancel) == messages.Accepted()
    assert manager.wants_cancel == 1
    assert job.status() == messages.Accepted()


def test_somebody_at_a_shell_may_steer_and_hears_the_same_when_asking_again(manager, job):
    pause = messages.Request(
        1, messages.CommandRequest(messages.JobIdentity("shell of host:99"), "pause")
    )
    assert manager.handler.handle(pause) == messages.CommandResult("1 commands")
    assert manager.handler.handle(pause) == messages.CommandResult("1 commands")
    assert manager.commands == ["pause"]
    assert job.status() == messages.Accepted()


def test_the_journal_tells_it_all(manager, job):
    job.failed()
    Job(manager, 0).hello()
    assert list(manager.replayed().learners) == list(manager.state.learners)
    assert [type(r) for r in manager.journal] == [events.Assigned, events.Failed, events.Assigned]


# What hinders a job, and what the user wants.


def told_trouble(job, trouble):
    return job.send(messages.Status(job.identity, job.holding, {}, trouble))


def test_what_hinders_a_job_is_written_down_when_it_changes(manager):
    job = Job(manager, 0)
    job.hello()
    for trouble in (None, "The disk is full.", "The disk is full.", None, None):
        assert told_trouble(job, trouble) == messages.Accepted()
    told = [record.text for record in manager.journal if isinstance(record, events.Troubled)]
    assert told == ["The disk is full.", ""]


def test_a_job_whose_learner_is_cancelled_is_told_to_save_and_gets_another(manager):
    job = Job(manager, 0)
    job.hello()
    manager.record.append(events.Cancelled(time=1.0, learner=0))
    assert job.status() == messages.Stop()
    assert job.hello(job.holding) == messages.Stop()
    assert job.released() == messages.Accepted()
    assert manager.states()[0] == CANCELLED
    assert job.hello() == messages.Assigned(messages.Attempt(1, 1))


def test_a_job_that_took_a_cancelled_learner_unheard_saves_what_it_has(manager):
    manager.record.append(events.Cancelled(time=1.0, learner=0))
    job = Job(manager, 0)
    job.holding = messages.Attempt(0, 1)
    assert job.status() == messages.Superseded()
    assert job.hello(job.holding) == messages.Stop()
    assert job.done(npoints=5) == messages.Accepted()
    assert manager.states()[0] == DONE


def test_who_asks_whether_the_manager_lives_is_answered(manager):
    assert (
        manager.handler.handle(messages.Request(1, messages.Ping(messages.JobIdentity("shell"))))
        == messages.Accepted()
    )
