"""Which jobs to submit: one for each learner that is ready, and never too many."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.protocol.messages import JobIdentity
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.state import RunState
from adaptive_scheduler.server_support.planning import (
    jobs_to_cancel,
    leftover_jobs,
    numbers_to_submit,
    unheard_jobs,
)
from tests.server_support.fake_manager import Job, Manager, everything


def started(manager):
    return [i for i, job in manager.state.jobs.items() if job.started is not None]


def submit(state, *numbers):
    """Have jobs in the queue that have not asked yet."""
    token = f"token {len(state.jobs)} {numbers}"
    state.apply(events.Submitting(time=1.0, token=token, job_name="sweep", numbers=list(numbers)))
    ids = {number: f"id of {number}" for number in numbers}
    state.apply(events.Submitted(time=1.0, token=token, job_ids=ids))


def assign(state, number, learner):
    state.apply(
        events.Assigned(
            time=2.0,
            learner=learner,
            number=state.learners[learner].attempt + 1,
            job=JobIdentity(f"id of {number}"),
            job_name=f"sweep-{number}",
            job_number=number,
        )
    )


def send_away(state, number):
    job = JobIdentity(f"id of {number}")
    state.apply(
        events.NothingLeft(time=2.0, job=job, job_name=f"sweep-{number}", job_number=number)
    )


def finish(state, *learners):
    for learner in learners:
        state.apply(events.Done(time=3.0, learner=learner))


# Examples.


def test_each_learner_gets_a_job_with_its_number():
    assert numbers_to_submit(RunState([0] * 4), 4, 100) == [0, 1, 2, 3]


def test_there_are_no_more_jobs_than_allowed():
    state = RunState([0] * 10)
    assert numbers_to_submit(state, 10, 3) == [0, 1, 2]
    submit(state, 0, 1, 2)
    assert numbers_to_submit(state, 10, 3) == []
    assert numbers_to_submit(state, 10, 2) == []


def test_submissions_that_are_under_way_count():
    state = RunState([0] * 10)
    state.apply(events.Submitting(time=1.0, token="t", job_name="sweep", numbers=[0, 1]))
    assert numbers_to_submit(state, 10, 3) == [2]


def test_jobs_in_the_queue_will_take_learners():
    state = RunState([0] * 3)
    submit(state, 0, 1)
    assert numbers_to_submit(state, 3, 100) == [2]


def test_a_learner_that_a_job_has_needs_no_other():
    state = RunState([0] * 3)
    submit(state, 0)
    assign(state, 0, 0)
    assert numbers_to_submit(state, 3, 100) == [1, 2]


def test_a_job_that_is_leaving_takes_no_learner():
    state = RunState([0] * 2)
    submit(state, 0, 1)
    assign(state, 0, 0)
    finish(state, 0)
    send_away(state, 0)
    assert numbers_to_submit(state, 2, 100) == []
    send_away(state, 1)
    # Both numbers are in use until their jobs have left the queue.
    assert numbers_to_submit(state, 2, 100) == []


def test_a_free_number_serves_for_a_learner_whose_own_is_in_use():
    state = RunState([0] * 3)
    submit(state, 1)
    assign(state, 1, 0)
    finish(state, 2)
    assert numbers_to_submit(state, 3, 100) == [0]


def test_a_learner_without_a_number_of_its_own_gets_one_all_the_same():
    state = RunState([0] * 10)
    finish(state, 0, 1, 2)
    assert numbers_to_submit(state, 4, 100) == [3, 0, 1, 2]


def test_jobs_are_of_the_group_of_the_learners_for_which_they_are():
    state = RunState(["small", "large", "small", "large"])
    submit(state, 0)
    assert numbers_to_submit(state, 4, 100) == [2, 1, 3]
    finish(state, 1, 3)
    assert numbers_to_submit(state, 4, 100) == [2]


def test_what_waits_needs_no_job_yet():
    state = RunState([0] * 3, dependencies={2: [0]})
    assert numbers_to_submit(state, 3, 100) == [0, 1]
    finish(state, 0)
    assert numbers_to_submit(state, 3, 100) == [1, 2]


def test_a_run_that_is_done_needs_no_jobs():
    state = RunState([0] * 2)
    finish(state, 0, 1)
    assert numbers_to_submit(state, 2, 100) == []


# In general.


@st.composite
def runs(draw):
    """A run in the middle: some learners are done, some jobs pending, working or leaving."""
    groups = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=12))
    n = len(groups)
    n_numbers = draw(st.integers(1, n))
    needs = st.dictionaries(st.integers(0, n - 1), st.just([0]), max_size=2)
    dependencies = {i: d for i, d in draw(needs).items() if i != 0}
    state = RunState(groups, dependencies=dependencies)
    finish(state, *draw(st.sets(st.integers(0, n - 1))))
    numbers = draw(st.lists(st.integers(0, n_numbers - 1), unique=True))
    if numbers:
        submit(state, *numbers)
    for number in numbers:
        match draw(st.sampled_from(["pending", "working", "leaving"])):
            case "working" if (learner := state.learners.next_ready(number)) is not None:
                assign(state, number, learner)
            case "leaving":
                send_away(state, number)
    return state, n_numbers, draw(st.integers(1, 15))


@given(runs())
def test_planning_changes_nothing(run):
    state, n_numbers, max_jobs = run
    before = everything(deepcopy(state))
    first = numbers_to_submit(state, n_numbers, max_jobs)
    assert numbers_to_submit(state, n_numbers, max_jobs) == first
    assert everything(state) == before


@given(runs())
def test_numbers_are_free_and_jobs_not_too_many(run):
    state, n_numbers, max_jobs = run
    numbers = numbers_to_submit(state, n_numbers, max_jobs)
    assert len(set(numbers)) == len(numbers)
    assert not set(numbers) & state.live_numbers()
    assert all(0 <= number < n_numbers for number in numbers)
    assert not numbers or len(state.jobs) + len(numbers) <= max_jobs


@given(runs())
def test_there_are_as_many_jobs_as_ready_learners(run):
    state, n_numbers, max_jobs = run
    numbers = numbers_to_submit(state, n_numbers, max_jobs)
    new = Counter(state.learners.groups[number] for number in numbers)
    free = Counter(
        state.learners.groups[job.number]
        for job in state.jobs.values()
        if job.learner is None and job.job_id not in state.leaving
    )
    unused = set(range(n_numbers)) - state.live_numbers() - set(numbers)
    is_full = len(state.jobs) + len(numbers) >= max_jobs
    n_ready = Counter({group: len(ready) for group, ready in state.learners.ready_groups()})
    for group in set(state.learners.groups):
        assert new[group] <= max(n_ready[group] - free[group], 0)
        has_enough = new[group] + free[group] >= n_ready[group]
        assert has_enough or is_full or not any(state.learners.groups[n] == group for n in unused)


@given(runs())
def test_learners_own_numbers_come_first(run):
    state, n_numbers, max_jobs = run
    numbers = numbers_to_submit(state, n_numbers, max_jobs)
    for group, ready in state.learners.ready_groups():
        mine = [number for number in numbers if state.learners.groups[number] == group]
        own = {number for number in ready if number < n_numbers} - state.live_numbers()
        assert set(mine) <= own or own <= set(mine)


# Jobs that nobody needs.


def cancel(manager, *learners):
    for learner in learners:
        manager.record.append(events.Cancelled(time=1.0, learner=learner))


def test_jobs_of_cancelled_learners_are_cancelled_and_no_others():
    manager = Manager([0] * 6)
    manager.submit(0, 1, 2, 3)
    for number in (0, 1):
        Job(manager, number).hello()
    assert jobs_to_cancel(manager.state, started(manager)) == []
    cancel(manager, 1)
    assert jobs_to_cancel(manager.state, started(manager)) == ["1"]


def test_a_pending_job_whose_learner_is_cancelled_stays_while_another_learner_wants_it():
    manager = Manager([0, 0, 0, 1])
    manager.submit(0, 1)
    cancel(manager, 0)
    assert jobs_to_cancel(manager.state, started(manager)) == []  # learner 2 will take it
    cancel(manager, 2)
    assert jobs_to_cancel(manager.state, started(manager)) == ["0"]
    manager.record.append(events.JobsCancelled(time=2.0, job_ids=["0"]))
    assert jobs_to_cancel(manager.state, started(manager)) == []


def test_at_the_end_running_jobs_are_to_hear_of_it_and_others_to_be_ended():
    manager = Manager([0] * 3)
    manager.submit(0, 1, 2)
    first, second = Job(manager, 0), Job(manager, 1)
    first.hello()
    second.hello()
    cancel(manager, 2)
    first.done()
    assert unheard_jobs(manager.state, started(manager)) == ["0", "1"]
    first.hello()
    assert unheard_jobs(manager.state, started(manager)) == ["1"]
    assert leftover_jobs(manager.state) == ["1", "2"]
    second.released()
    assert unheard_jobs(manager.state, started(manager)) == []
    assert leftover_jobs(manager.state) == ["1", "2"]  # what has let go may have to start again
