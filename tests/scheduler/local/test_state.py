"""The state of `Local` follows from its records alone."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.scheduler.local.processes import Process
from adaptive_scheduler.scheduler.local.state import (
    REMEMBERED_ENDS,
    JobKey,
    LocalBatch,
    LocalState,
    RunningJob,
    ended,
    started_as,
    submitted,
)

BATCH = LocalBatch(
    job_name="job",
    script="#!/bin/bash\n",
    token="token",
    cores=1,
    max_cores=2,
    time=None,
    kill_wait=30.0,
    workdir="/",
    log_folder="/logs",
    environment={},
    umask=0o022,
    affinity=[0],
    submission="one",
    submitted=1795919717.0,
)
JOB = RunningJob(keeper=Process(1, 2), mark="mark")


def batch(**fields):
    return LocalBatch(**vars(BATCH) | fields)


@st.composite
def histories(draw):
    """Draw records as a daemon may write them."""
    state, records = LocalState(next_batch=1), []

    def happen(record):
        state.apply(json.loads(json.dumps(record)))
        records.append(record)

    for _ in range(draw(st.integers(0, 25))):
        step = draw(st.sampled_from(["submit", "start", "end", "cancel"]))
        if step == "submit":
            numbers = draw(st.lists(st.integers(0, 99), min_size=1, max_size=5, unique=True))
            new = batch(cores=draw(st.integers(1, 2)), submission=str(len(records)))
            happen(submitted(state.next_batch, sorted(numbers), new))
        elif step == "start" and (key := state.next_to_start()):
            happen(started_as(key, JOB))
        elif step == "end" and state.running:
            key = draw(st.sampled_from(sorted(state.running)))
            happen(ended([str(key)], "FAILED", draw(st.integers(0, 3))))
        elif step == "cancel" and state.batches:
            number = draw(st.sampled_from(sorted(state.batches)))
            pending = state.batches[number].pending
            if pending:
                happen(ended([str(JobKey(number, i)) for i in pending], "CANCELLED"))
    return records


def replayed(records):
    state = LocalState(next_batch=1)
    for record in json.loads(json.dumps(list(records))):
        state.apply(record)
    return state


@given(histories())
def test_a_snapshot_leads_to_the_same_state(records):
    state = replayed(records)
    again = replayed(state.snapshot())
    again.submissions = state.submissions  # only for clients that wait for an answer
    assert again == state


@given(histories())
def test_cores_in_use_are_those_of_the_running_jobs(records):
    state = replayed(records)
    in_use = sum(state.batches[key.batch].batch.cores for key in state.running)
    assert state.cores_in_use == in_use <= BATCH.max_cores


@given(histories())
def test_a_job_waits_or_runs_or_has_ended(records):
    state = replayed(records)
    submissions = [r for r in records if r["event"] == "submitted"]
    for key in (JobKey(r["batch"], number) for r in submissions for number in r["numbers"]):
        assert [state.is_pending(key), key in state.running, str(key) in state.ends].count(
            True
        ) == 1


def test_a_large_job_is_not_passed_by_small_ones():
    state = replayed(
        [
            submitted(1, [0], BATCH),
            started_as(JobKey(1, 0), JOB),
            submitted(2, [0], batch(cores=2, submission="two")),
            submitted(3, [0], batch(submission="three")),
        ]
    )
    assert state.next_to_start() is None
    state.apply(ended(["1_0"], "COMPLETED"))
    assert state.next_to_start() == JobKey(2, 0)


def test_only_so_many_ends_are_remembered():
    state = replayed([submitted(1, range(REMEMBERED_ENDS + 5), BATCH)])
    state.apply(ended([f"1_{i}" for i in range(REMEMBERED_ENDS + 5)], "CANCELLED"))
    assert len(state.ends) == REMEMBERED_ENDS
    assert "1_4" not in state.ends
    assert "1_5" in state.ends


@pytest.mark.parametrize("text", ["", "1", "_", "1_", "_1", "1_x", "1_-1", "01_1", "1_2_3", "²_1"])
def test_what_is_no_id_names_no_job(text):
    assert JobKey.parse(text) is None


@given(st.integers(0, 10**12), st.integers(0, 10**6))
def test_an_id_names_its_job(number, index):
    assert JobKey.parse(str(JobKey(number, index))) == JobKey(number, index)
