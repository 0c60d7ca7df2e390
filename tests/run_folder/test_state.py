"""What the manager believes: changed by records alone, each of them quick."""

from __future__ import annotations

import gc
import sys

import pytest

from adaptive_scheduler.protocol.messages import JobIdentity
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.commands import to_retry, to_retry_at_start
from adaptive_scheduler.run_folder.compaction import as_records
from adaptive_scheduler.run_folder.learner_table import pause_after
from adaptive_scheduler.run_folder.models import (
    CANCELLED,
    DELAYED,
    DONE,
    FAILED,
    READY,
    RUNNING,
    WAITING,
)
from adaptive_scheduler.run_folder.state import RunState
from tests.journals import STARTED
from tests.server_support.fake_manager import Job, Manager, check_consistency, everything


def new_state(n_learners=3, **kwargs):
    return RunState([0] * n_learners, **kwargs)


def assigned(learner, job_id=None, number=1, time=10.0, restarts=0):
    return events.Assigned(
        time=time,
        learner=learner,
        number=number,
        job=JobIdentity(job_id or str(100 + learner), restarts),
        job_name=f"sweep-{learner}",
        job_number=learner,
        log_fname=f"/logs/{learner}",
        host="node1",
    )


def done(learner, time=20.0):
    return events.Done(time=time, learner=learner, npoints=7)


def failed(learner, time=20.0):
    return events.Failed(time=time, learner=learner, error="ValueError: no", traceback="Traceback")


def gone(job_id, time=20.0, **options):
    return events.JobGone(time=time, job_id=job_id, end="OOM", output="Killed", **options)


def after(state, *records):
    for record in records:
        state.apply(record)
        check_consistency(state)
    return state


def states(state):
    return [entry.state for entry in state.learners]


# The life of a learner.


def test_learners_without_dependencies_are_ready():
    state = new_state()
    check_consistency(state)
    assert states(state) == [READY] * 3
    assert state.learners.n_unscheduled == 3
    assert not state.learners.is_complete


def test_a_learner_that_a_job_has_is_running():
    state = after(new_state(), assigned(1))
    entry, job = state.learners[1], JobIdentity("101")
    assert states(state) == [READY, RUNNING, READY]
    assert (entry.attempt, entry.job, entry.host, entry.started) == (1, job, "node1", 10.0)
    assert entry.is_held_by(job, 1)
    assert not entry.is_held_by(job, 2)
    assert not entry.is_held_by(JobIdentity("101", 1), 1)


def test_a_done_learner_has_no_failures_left():
    state = after(new_state(), assigned(0), failed(0), assigned(0, number=2), done(0))
    entry = state.learners[0]
    assert states(state) == [DONE, READY, READY]
    assert (entry.fails, entry.error, entry.traceback, entry.npoints) == (0, "", "", 7)
    assert not entry.is_held_by(JobIdentity("100"), 2)


def test_a_run_is_complete_when_all_learners_are_done_or_given_up():
    state = after(new_state(2, max_fails=1), done(0))
    assert not state.learners.is_complete
    after(state, assigned(1), failed(1))
    assert states(state) == [DONE, FAILED]
    assert state.learners.is_complete


def test_a_released_learner_is_ready_and_has_not_failed():
    released = events.Released(time=20.0, learner=0, reason="The job got SIGTERM.")
    state = after(new_state(), assigned(0), released)
    assert states(state) == [READY] * 3
    assert state.learners[0].fails == 0
    assert state.learners[0].error == "The job got SIGTERM."
    assert state.leaving == {"100"}


@pytest.mark.parametrize("record", [failed(0), events.Released(time=1.0, learner=0, reason="late")])
def test_a_learner_that_no_job_has_cannot_fail_or_be_released(record):
    for state in (new_state(), after(new_state(), assigned(0), done(0))):
        before = states(state)
        after(state, record)
        assert states(state) == before


# Failures.


def test_the_first_failure_costs_no_pause():
    state = after(new_state(), assigned(0), failed(0))
    assert states(state) == [READY] * 3
    assert (state.learners[0].fails, state.learners[0].error) == (1, "ValueError: no")


def test_pauses_grow_up_to_a_limit():
    pauses = [pause_after(fails) for fails in range(1, 200)]
    assert pauses[:4] == [0.0, 1.0, 2.0, 4.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == pauses[-2] <= 600


def test_a_learner_that_fails_again_waits_for_the_end_of_its_pause():
    state = after(new_state(), assigned(0), failed(0), assigned(0, number=2), failed(0, time=50.0))
    assert states(state) == [DELAYED, READY, READY]
    assert state.learners.next_pause_end() == 51.0
    assert state.learners.next_ready(0) == 1
    state.end_pauses(50.9)
    assert states(state) == [DELAYED, READY, READY]
    state.end_pauses(51.0)
    check_consistency(state)
    assert states(state) == [READY] * 3
    assert state.learners.next_pause_end() is None


def test_a_pause_that_was_cut_short_does_not_end_the_next_one():
    state = after(new_state(), assigned(0), failed(0), assigned(0, number=2), failed(0, time=50.0))
    # A job that was thought gone is back, goes on, and fails.
    after(state, assigned(0, number=3, time=50.1), failed(0, time=50.5))
    state.end_pauses(51.5)
    assert state.learners[0].state == DELAYED
    state.end_pauses(52.5)
    assert state.learners[0].state == READY


def test_a_learner_that_fails_too_often_is_given_up():
    state = new_state(max_fails=3)
    for number in (1, 2, 3):
        assert state.learners[0].state != FAILED
        after(state, assigned(0, number=number), failed(0))
    assert states(state) == [FAILED, READY, READY]
    assert state.learners[0].fails == 3


def test_a_learner_that_was_given_up_can_be_tried_again():
    state = after(
        new_state(max_fails=1), assigned(0), failed(0), events.Retried(time=1.0, learner=0)
    )
    assert states(state) == [READY] * 3
    assert state.learners[0].fails == 0


def test_trying_again_ends_a_pause():
    state = after(new_state(), assigned(0), failed(0), assigned(0, number=2), failed(0))
    after(state, events.Retried(time=21.0, learner=0))
    assert states(state) == [READY] * 3


@pytest.mark.parametrize("record", [done(0), assigned(0)])
def test_only_what_failed_can_be_tried_again(record):
    state = after(new_state(), record)
    before = states(state)
    after(state, events.Retried(time=21.0, learner=0))
    assert states(state) == before


# Dependencies.


def test_a_learner_waits_for_all_that_it_needs():
    state = new_state(dependencies={2: [0, 1, 1]})
    assert states(state) == [READY, READY, WAITING]
    after(state, done(1))
    assert states(state) == [READY, DONE, WAITING]
    after(state, done(1))
    assert states(state) == [READY, DONE, WAITING]
    after(state, done(0))
    assert states(state) == [DONE, DONE, READY]


def test_giving_up_a_learner_gives_up_all_that_need_it():
    state = new_state(5, dependencies={1: [0], 2: [1], 3: [4]}, max_fails=1)
    after(state, assigned(0), failed(0))
    assert states(state) == [FAILED, FAILED, FAILED, WAITING, READY]
    assert state.learners[2].error == "Learner 1, on which it depends, failed."


def test_what_was_given_up_together_is_tried_again_in_order():
    state = new_state(dependencies={1: [0], 2: [1]}, max_fails=1)
    after(state, assigned(0), failed(0))
    after(state, *(events.Retried(time=1.0, learner=i) for i in (2, 0, 1)))
    assert states(state) == [READY, WAITING, WAITING]
    after(state, done(0), done(1))
    assert states(state) == [DONE, DONE, READY]


def test_chains_may_be_long():
    n = 5000
    chain = {i: [i - 1] for i in range(1, n)}
    state = new_state(n, dependencies=chain, max_fails=1)
    state.apply(done(0))
    assert [state.learners.counts[s] for s in (DONE, READY, WAITING, FAILED)] == [1, 1, n - 2, 0]
    after(state, assigned(1), failed(1))
    assert state.learners.counts[FAILED] == n - 1
    assert state.learners.is_complete


# Jobs.


def submitted(state, *numbers, token="t", time=5.0):
    return after(
        state,
        events.Submitting(time=time, token=token, job_name="sweep", numbers=list(numbers)),
        events.Submitted(time=time, token=token, job_ids={n: str(100 + n) for n in numbers}),
    )


def test_jobs_whose_submission_has_begun_may_live():
    state = after(
        new_state(), events.Submitting(time=5.0, token="t", job_name="sweep", numbers=[0, 2])
    )
    assert state.live_numbers() == {0, 2}
    assert state.jobs == {}
    after(state, events.NotSubmitted(time=6.0, token="t", reason="refused"))
    assert state.live_numbers() == set()


def test_submitted_jobs_live_until_they_are_gone():
    state = submitted(new_state(), 0, 2)
    assert state.live_numbers() == {0, 2}
    assert state.submissions == {}
    assert state.jobs["102"].job_name == "sweep-2"
    assert state.totals.submitted == 2
    after(state, gone("102"))
    assert state.live_numbers() == {0}
    assert state.totals.gone == 1


def test_a_quick_job_may_say_hello_before_its_submission_is_written_down():
    state = after(
        new_state(),
        events.Submitting(time=5.0, token="t", job_name="sweep", numbers=[0]),
        assigned(0),
        events.Submitted(time=11.0, token="t", job_ids={0: "100"}),
    )
    job = state.jobs["100"]
    assert (job.learner, job.token, job.job_name) == (0, "t", "sweep-0")
    assert len(state.jobs) == 1


def test_a_job_that_is_gone_has_failed_at_its_learner():
    state = after(new_state(), assigned(1), gone("101"))
    entry = state.learners[1]
    assert entry.state == READY
    assert (entry.fails, entry.error, entry.traceback) == (1, "The job ended: OOM.", "Killed")


def test_the_loss_of_a_node_counts_against_nobody():
    state = after(new_state(max_fails=1), assigned(1), gone("101", is_no_fault=True))
    entry = state.learners[1]
    assert (entry.state, entry.fails) == (READY, 0)
    assert (entry.error, entry.traceback) == ("The job ended: OOM.", "Killed")


def test_how_jobs_have_ended_is_known_of_each_learner_and_in_all():
    state = after(new_state(), assigned(0), done(0), assigned(1, job_id="100"))
    after(state, events.Released(time=20.0, learner=1, reason="The job got SIGTERM."))
    after(state, gone("100", state="TIMEOUT"), gone("unheard of", state="TIMEOUT"))
    assert [entry.last_end for entry in state.learners] == ["", "OOM", ""]
    assert state.totals.ends == {"TIMEOUT": 1}


def test_an_unknown_end_is_news_unless_the_job_had_said_that_it_leaves():
    state = after(new_state(), assigned(0), assigned(1), done(1))
    after(
        state,
        events.NothingLeft(time=20.0, job=JobIdentity("101"), job_name="sweep-1", job_number=1),
    )
    after(state, gone("100", state=""), gone("101", state="UNKNOWN"))
    assert state.totals.ends == {"UNKNOWN": 1}


def test_a_job_that_ends_without_a_learner_harms_none():
    state = after(new_state(), assigned(1), done(1), gone("101"), gone("101"), gone("unheard of"))
    assert states(state) == [READY, DONE, READY]
    assert [entry.fails for entry in state.learners] == [0, 0, 0]


def test_a_job_that_never_asked_is_a_failed_start_of_its_own_learner():
    state = submitted(new_state(), 1)
    assert state.never_asked(state.jobs["101"])
    after(state, gone("101", is_failed_start=True))
    assert state.learners[1].fails == 1
    assert "before it asked for a learner: OOM" in state.learners[1].error
    assert state.totals.failed_starts_in_a_row == 1


def test_a_failed_start_of_a_learner_that_another_job_has_harms_nobody():
    state = after(submitted(new_state(), 1), assigned(1, job_id="7"))
    after(state, gone("101", is_failed_start=True))
    assert states(state) == [READY, RUNNING, READY]


@pytest.mark.parametrize(
    "sign_of_life",
    [
        assigned(2, job_id="7"),
        events.NothingLeft(time=9.0, job=JobIdentity("7"), job_name="sweep-2", job_number=2),
    ],
)
def test_a_job_that_asks_ends_a_series_of_failed_starts(sign_of_life):
    state = after(submitted(new_state(), 0, 1), gone("100", is_failed_start=True))
    after(state, sign_of_life, gone("101", is_failed_start=True))
    assert state.totals.failed_starts_in_a_row == 1


def test_a_job_for_which_nothing_was_left_is_leaving_and_no_failed_start():
    state = submitted(new_state(), 1)
    nothing = events.NothingLeft(time=9.0, job=JobIdentity("101"), job_name="sweep-1", job_number=1)
    after(state, nothing)
    assert state.leaving == {"101"}
    assert not state.never_asked(state.jobs["101"])
    after(state, gone("101"))
    assert state.leaving == set()


def test_a_job_that_gets_a_learner_after_all_is_not_leaving():
    nothing = events.NothingLeft(time=9.0, job=JobIdentity("100"), job_name="sweep-0", job_number=0)
    assert after(new_state(), nothing, assigned(0)).leaving == set()


def test_how_long_jobs_were_pending_is_remembered():
    state = submitted(new_state(), 0, 1, time=5.0)
    after(state, assigned(0, time=12.0), done(0), assigned(2, "100", time=30.0))
    nothing = events.NothingLeft(time=6.0, job=JobIdentity("101"), job_name="sweep-1", job_number=1)
    after(state, nothing, nothing)
    assert state.totals.starting_times == [7.0, 1.0]


def test_a_job_has_one_learner_at_a_time():
    # It was assigned one, did not hear of it, and took another by itself.
    state = after(new_state(), assigned(0, "100"), assigned(1, "100"))
    assert states(state) == [READY, RUNNING, READY]
    assert state.jobs["100"].learner == 1


def test_a_job_that_was_started_again_is_the_same_job():
    state = after(new_state(), assigned(0), assigned(0, number=2, restarts=1))
    assert list(state.jobs) == ["100"]
    assert state.jobs["100"].restarts == 1
    assert state.learners[0].is_held_by(JobIdentity("100", 1), 2)


# Which learner is next.


def test_a_job_takes_its_own_learner_first_and_then_the_others_in_order():
    state = new_state(4)
    assert state.learners.next_ready(2) == 2
    after(state, assigned(2))
    assert state.learners.next_ready(2) == 0
    after(state, assigned(0), assigned(1), assigned(3))
    assert state.learners.next_ready(2) is None


def test_jobs_take_learners_of_their_own_group():
    state = RunState(["small", "large", "large", "small"])
    after(state, assigned(1), assigned(0))
    assert state.learners.next_ready(0) == 3
    assert state.learners.next_ready(1) == 2
    after(state, assigned(2))
    assert state.learners.next_ready(1) is None


def test_a_job_with_an_unheard_of_number_gets_nothing():
    assert new_state().learners.next_ready(3) is None


# The journal.

STORY = (
    STARTED,
    events.Submitting(time=5.0, token="t", job_name="sweep", numbers=[0, 1, 2, 3, 4]),
    events.Submitted(time=5.0, token="t", job_ids={n: str(100 + n) for n in range(5)}),
    assigned(0, "100"),
    assigned(1, "101"),
    assigned(2, "102"),
    done(0),
    failed(1),
    assigned(1, "101", number=2),
    failed(1),
    events.Released(time=30.0, learner=2, reason="SIGTERM"),
    events.NothingLeft(time=31.0, job=JobIdentity("103"), job_name="sweep-3", job_number=3),
    assigned(3, "100"),
    assigned(4, "104", restarts=2),
    gone("104"),
    assigned(6, "105", restarts=1),
    gone("105", is_certain=True),
    events.Submitting(time=40.0, token="u", job_name="sweep", numbers=[6]),
    events.RunEnded(time=50.0, status="cancelled"),
)
#: Learner 5 waits for two that are done and running, 7 has become ready.
NEEDS = {5: [0, 3], 7: [0]}


def test_the_same_records_give_the_same_state():
    first, second = (after(new_state(8, dependencies=NEEDS), *STORY) for _ in range(2))
    assert everything(first) == everything(second)


@pytest.mark.parametrize("length", range(len(STORY) + 1))
def test_a_compacted_journal_gives_the_same_state(length):
    state = after(new_state(8, dependencies=NEEDS), *STORY[:length])
    records = list(as_records(state, 60.0))
    again = after(new_state(8, dependencies=NEEDS), *records)
    assert everything(again) == everything(state)


def test_what_waits_goes_on_after_a_compaction():
    state = after(new_state(8, dependencies=NEEDS), *STORY)
    again = after(new_state(8, dependencies=NEEDS), *as_records(state, 60.0))
    assert again.learners[7].state == READY
    assert again.learners[5].state == WAITING
    after(again, done(3))
    assert again.learners[5].state == READY


def test_a_compacted_journal_is_short():
    state = new_state(100)
    for i in range(100):
        after(state, assigned(0, number=i + 1), events.Released(time=1.0, learner=0, reason=""))
    assert len(list(as_records(state, 60.0))) == 4


def test_a_manager_that_starts_takes_up_a_run_that_had_ended():
    state = after(new_state(), events.RunEnded(time=50.0, status="failed"))
    assert state.ended == "failed"
    after(state, STORY[0])
    assert state.ended is None


# What the user wants.


def cancelled(*learners):
    return [events.Cancelled(time=30.0, learner=i) for i in learners]


def retried(state, wanted=None):
    return [events.Retried(time=40.0, learner=i) for i in to_retry(state, wanted)]


def test_a_cancelled_learner_is_left_alone_until_it_is_retried():
    state = after(new_state(), *cancelled(1))
    assert states(state) == [READY, CANCELLED, READY]
    after(state, done(0), done(2))
    assert state.learners.is_complete
    assert to_retry_at_start(state) == []
    after(state, *retried(state))
    assert states(state) == [DONE, READY, DONE]
    assert retried(state) == []


@pytest.mark.parametrize(
    "end",
    [failed(0), events.Released(time=20.0, learner=0, reason="The job got SIGTERM."), gone("100")],
    ids=["failed", "released", "killed"],
)
def test_a_job_whose_learner_was_cancelled_gives_it_back_for_good(end):
    state = after(new_state(1), assigned(0), *cancelled(0))
    assert states(state) == [RUNNING]
    after(state, *cancelled(0), end)
    assert states(state) == [CANCELLED]
    after(state, *retried(state, [0]))
    assert states(state) == [READY]
    assert state.learners[0].fails == 0


def test_a_retry_while_the_job_is_being_ended_makes_the_learner_ready_after_it():
    state = after(new_state(1), assigned(0), *cancelled(0))
    after(state, *retried(state, [0]))
    assert states(state) == [RUNNING]
    after(state, events.Released(time=20.0, learner=0, reason=""))
    assert states(state) == [READY]


def test_a_job_that_made_it_all_the_same_is_done():
    state = after(new_state(1), assigned(0), *cancelled(0), done(0), *cancelled(0))
    assert states(state) == [DONE]
    assert retried(state) == []


def test_what_depends_on_a_cancelled_learner_is_cancelled_and_comes_back_with_it():
    state = after(new_state(4, dependencies={1: [0], 2: [1], 3: [0]}), *cancelled(0))
    assert states(state) == [CANCELLED] * 4
    assert state.learners[2].error == "Learner 1, on which it depends, was cancelled."
    after(state, *retried(state, [0]))
    assert states(state) == [READY, WAITING, WAITING, WAITING]


def test_a_retry_takes_what_a_learner_depends_on_and_leaves_the_rest():
    state = after(new_state(4, dependencies={2: [0, 1]}), *cancelled(0, 1, 3))
    assert to_retry(state, [0]) == [0]  # 2 can't go on: it needs 1
    assert to_retry(state, [2]) == [0, 1, 2]
    assert to_retry(state) == [0, 1, 2, 3]


def test_a_retry_ends_the_pause_after_a_failure():
    state = new_state(1)
    after(state, assigned(0), failed(0), assigned(0, number=2), failed(0))
    assert states(state) == [DELAYED]
    after(state, *retried(state))
    assert states(state) == [READY]


def test_a_manager_that_starts_leaves_what_was_cancelled_alone():
    state = new_state(4, dependencies={2: [0, 1]}, max_fails=1)
    after(state, assigned(1), failed(1), assigned(3), failed(3), *cancelled(0))
    assert states(state) == [CANCELLED, FAILED, FAILED, FAILED]
    assert to_retry_at_start(state) == [1, 3]  # 2 would wait for 0 for ever


def test_a_run_is_paused_until_it_is_resumed():
    state = after(
        new_state(), events.Paused(time=1.0), events.RunEnded(time=2.0, status="cancelled")
    )
    after(state, STORY[0])
    assert state.is_paused
    assert after(new_state(), *as_records(state, 60.0)).is_paused
    assert not after(state, events.Resumed(time=3.0)).is_paused


def test_jobs_that_nobody_needs_do_not_fail_when_they_end():
    state = new_state(2)
    after(
        state,
        events.Submitting(time=1.0, token="t", job_name="sweep", numbers=[0, 1]),
        events.Submitted(time=1.0, token="t", job_ids={0: "7", 1: "8"}),
        events.JobsCancelled(time=2.0, job_ids=["7", "9"]),
    )
    assert state.leaving == {"7"}
    assert not state.never_asked(state.jobs["7"])
    assert state.never_asked(state.jobs["8"])


def test_a_learner_that_is_not_done_by_a_new_goal_is_ready_and_what_depends_on_it_waits():
    state = new_state(4, dependencies={1: [0], 2: [0], 3: [2]})
    after(state, done(0), assigned(2), done(2), events.Reopened(time=50.0, learner=0))
    assert states(state) == [READY, WAITING, DONE, READY]
    again = after(new_state(4, dependencies={1: [0], 2: [0], 3: [2]}), *as_records(state, 60.0))
    assert everything(again) == everything(state)
    after(state, events.Reopened(time=51.0, learner=0), done(0))
    assert states(state) == [DONE, READY, DONE, READY]


def test_what_hinders_a_job_is_known_until_another_attempt_begins():
    state = after(
        new_state(1), assigned(0), events.Troubled(time=11.0, learner=0, text="disk full")
    )
    assert state.learners[0].trouble == "disk full"
    after(state, done(0))
    assert state.learners[0].trouble == "disk full"
    assert after(new_state(1), *as_records(state, 60.0)).learners[0].trouble == "disk full"
    after(state, events.Reopened(time=50.0, learner=0), assigned(0, number=2))
    assert state.learners[0].trouble == ""


def test_it_is_known_when_a_run_began_and_ended():
    state = after(new_state(), STORY[0], events.RunEnded(time=50.0, status="finished"))
    for each in (state, after(new_state(), *as_records(state, 60.0))):
        assert (each.totals.began, each.totals.ended) == (STORY[0].time, 50.0)


# Cost.


def steps_of(function):
    """Count the lines of Python that run in the package while `function` does."""
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        del arg
        if "adaptive_scheduler" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    previous = sys.gettrace()
    gc.disable()  # what is collected just now may have steps of its own
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(previous)
        gc.enable()
    return count


def one_learners_life(n):
    """Return a state with many learners and jobs, and the records of one more life."""
    state = new_state(n, dependencies={n - 1: list(range(n - 1)), n - 2: [0]}, max_fails=2)
    for i in range(n // 2):
        state.apply(assigned(i, job_id=f"job{i}"))
    for i in range(n // 2):
        state.apply(done(i))
    k = n // 2 + 1
    return state, [
        events.Submitting(time=5.0, token="t", job_name="sweep", numbers=[k]),
        events.Submitted(time=5.0, token="t", job_ids={k: "mine"}),
        assigned(k, job_id="mine"),
        failed(k),
        assigned(k, job_id="mine", number=2),
        events.Released(time=30.0, learner=k, reason="SIGTERM"),
        assigned(k, job_id="mine", number=3),
        done(k),
        assigned(k + 1, job_id="mine"),
        gone("mine"),
    ]


def test_no_step_takes_longer_with_more_learners():
    counts = []
    for n in (20, 10_000):
        state, records = one_learners_life(n)
        counts.append([steps_of(lambda r=record, s=state: s.apply(r)) for record in records])
        counts[-1].append(
            steps_of(lambda s=state: [s.learners.next_ready(1), s.learners.is_complete])
        )
        counts[-1].append(steps_of(lambda s=state: s.end_pauses(1e9)))
    assert counts[0] == counts[1]


def test_who_watches_is_told_which_learners_have_changed():
    manager = Manager([0] * 3, dependencies={2: [0]})
    changed = manager.record.watched.watch()
    manager.submit(0)
    job = Job(manager, 0)
    job.hello()
    assert changed == {0}
    changed.clear()
    job.status(npoints=3)
    assert changed == {0}
    job.done(npoints=5)
    assert changed == {0, 2}
