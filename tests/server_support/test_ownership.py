"""A job that carries another run's id is never ours; one that carries none may be."""

from __future__ import annotations

import pytest

from adaptive_scheduler.protocol.messages import JobIdentity
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.state import RunState
from adaptive_scheduler.scheduler import queued_job
from adaptive_scheduler.scheduler.jobs import new_token
from adaptive_scheduler.server_support.ownership import jobs_to_end, known_as_ours, owned
from tests.journals import BEGAN, RUN_ID, STARTED

OURS, THEIRS = new_token(RUN_ID), new_token("fedcba9876543210")
BEGUN_AT = 1000.0


@pytest.fixture
def state():
    """Return a run that has submitted job 7, is in doubt about another, and heard of job 9."""
    state = RunState([0] * 3)
    for record in (
        BEGAN,
        STARTED,
        events.Submitting(time=BEGUN_AT, token=OURS, job_name="sweep", numbers=[2]),
        events.Submitted(time=BEGUN_AT + 60, token=OURS, job_ids={2: "7"}),
        events.Submitting(time=BEGUN_AT + 90, token="doubt", job_name="sweep", numbers=[1]),
        events.Assigned(
            time=BEGUN_AT + 95,
            learner=0,
            number=1,
            job=JobIdentity("9"),
            job_name="sweep-0",
            job_number=0,
        ),
    ):
        state.apply(record)
    return state


def seen(token="", job_name="sweep-2", submitted=BEGUN_AT + 30):
    return queued_job(
        job_name=job_name, state="R", phase="running", token=token, submitted=submitted
    )


@pytest.mark.parametrize(
    ("job_id", "job", "is_ours"),
    [
        # It tells whose it is.
        ("7", seen(OURS), True),
        ("7", seen(THEIRS), False),
        ("8", seen(OURS), True),
        ("8", seen(THEIRS), False),
        ("7", seen(OURS, job_name="renamed", submitted=0.0), True),
        ("9", seen(THEIRS, job_name="sweep-0"), False),
        # Its submission had no answer.
        ("8", seen("doubt", job_name="sweep-1"), True),
        # It carries no mark.
        ("7", seen(), True),
        ("7", seen(job_name="sweep"), True),
        ("7", seen("what a plugin has written"), True),
        ("7", seen(submitted=None), True),
        ("7", seen(submitted=BEGUN_AT - 100), True),
        ("7", seen(submitted=BEGUN_AT - 1000), False),
        ("7", seen(job_name="sweep-1"), False),
        ("7", seen(job_name="other"), False),
        ("8", seen(), False),
        # It was started by hand, and has told us its id.
        ("9", seen(job_name="by-hand", submitted=0.0), True),
    ],
)
def test_whose_a_job_in_the_queue_is(state, job_id, job, is_ours):
    assert owned(state, {job_id: job}) == ({job_id: job} if is_ours else {})


def test_before_the_first_record_no_job_that_carries_an_id_is_ours():
    assert owned(RunState([0]), {"7": seen(THEIRS)}) == {}


def test_what_ends_with_the_run_is_what_is_ours_and_what_the_queue_does_not_show(state):
    assert jobs_to_end(state, {}) == ["7", "9"]
    assert jobs_to_end(state, {"7": seen(THEIRS), "8": seen(OURS), "1": seen(THEIRS)}) == [
        "9",
        "8",
    ]


def test_what_an_earlier_manager_has_submitted_is_ours_when_it_was_seen(state):
    assert known_as_ours(state, ["7", "9", "5"], {}) == ["7", "9"]
    state.apply(STARTED)
    assert known_as_ours(state, ["7", "9"], {}) == []
    assert known_as_ours(state, ["7", "9"], {"7": seen()}) == ["7"]
