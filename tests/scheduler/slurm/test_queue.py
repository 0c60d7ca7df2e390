"""What squeue prints, and what it means. The texts were printed by Slurm 22.05."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler.slurm.queue import parse_queue, queue_command

AT = "2026-11-29T02:35:17"
QUEUE = (
    f"\x1e7\x1fPENDING\x1fPartitionTimeLimit\x1f{AT}\x1f(null)\x1fh.sh\n"
    f"\x1e1_1\x1fCOMPLETING\x1fNone\x1f{AT}\x1fadaptive-scheduler=0f1e+0\x1fsweep\n"
    f"\x1e4_1\x1fPENDING\x1fJobHeldUser\x1f{AT}\x1f(null)\x1fh.sh\n"
    f"\x1e1_0\x1fRUNNING\x1fNone\x1f{AT}\x1fadaptive-scheduler=0f1e+0\x1fsweep\n"
    f"\x1e2_3\x1fRUNNING\x1fNone\x1f{AT}\x1fof the user adaptive-scheduler=77+2000\x1f"
    'new\nline |π % "x"\'\n'
    f"\x1e3\x1fRUNNING\x1fNone\x1f{AT}\x1f(null)\x1fplain job\n"
    f"\x1e5\x1fPENDING\x1fNone\x1f{AT}\x1f(null)\x1fh.sh\n"
    f"\x1e67108869\x1fREVOKED\x1fNone\x1f{AT}\x1fadaptive-scheduler=77+1002\x1fsweep-1002\n"
)


def test_our_jobs_bear_their_numbers_and_those_of_others_their_names():
    names = {job_id: job["job_name"] for job_id, job in parse_queue(QUEUE).items()}
    assert names == {
        "7": "h.sh",
        "1_1": "sweep-1",
        "4_1": "h.sh",
        "1_0": "sweep-0",
        "2_3": 'new\nline |π % "x"\'-2003',
        "3": "plain job",
        "5": "h.sh",
        "67108869": "sweep-1002",
    }


def test_our_jobs_bear_the_token_of_their_submission():
    tokens = {job_id: job["token"] for job_id, job in parse_queue(QUEUE).items() if job["token"]}
    assert tokens == {"1_1": "0f1e", "1_0": "0f1e", "2_3": "77", "67108869": "77"}


def test_times_of_submission_are_read_as_utc():
    assert {job["submitted"] for job in parse_queue(QUEUE).values()} == {1795919717.0}


@pytest.mark.parametrize("text", ["N/A", "Unknown", ""])
def test_a_time_that_slurm_does_not_tell_is_not_known(text):
    job = parse_queue(f"\x1e1\x1fPENDING\x1fNone\x1f{text}\x1f(null)\x1fname\n")["1"]
    assert job["submitted"] is None


def test_states_tell_who_runs_and_reasons_why_not():
    jobs = parse_queue(QUEUE)
    assert {i for i, job in jobs.items() if job["running"]} == {
        "1_1",
        "1_0",
        "2_3",
        "3",
        "67108869",  # elsewhere in the federation
    }
    assert all(job["alive"] for job in jobs.values())
    reasons = {i: job["reason"] for i, job in jobs.items() if job["reason"]}
    assert reasons == {
        "7": "PartitionTimeLimit",
        "4_1": "JobHeldUser",
        "5": "not looked at yet",
    }


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        ("PENDING", "pending"),
        ("CONFIGURING", "pending"),
        ("REQUEUE_HOLD", "pending"),
        ("SPECIAL_EXIT", "pending"),
        ("RUNNING", "running"),
        ("SUSPENDED", "running"),
        ("REVOKED", "running"),
        ("COMPLETING", "ending"),
        ("REQUEUED", "unknown"),
        ("NEVER_HEARD_OF", "unknown"),
        ("COMPLETED", "over"),
        ("CANCELLED", "over"),
        ("FAILED", "over"),
        ("TIMEOUT", "over"),
        ("NODE_FAIL", "over"),
        ("PREEMPTED", "over"),
        ("OUT_OF_MEMORY", "over"),
        ("BOOT_FAIL", "over"),
        ("DEADLINE", "over"),
    ],
)
def test_what_a_state_means(state, phase):
    job = parse_queue(f"\x1e1\x1f{state}\x1fNone\x1fN/A\x1f(null)\x1fname\n")["1"]
    assert job["phase"] == phase


@pytest.mark.parametrize(
    ("state", "reason", "phase"),
    [
        ("PENDING", "launch failed requeued held", "stuck"),
        ("PENDING", "launch_failed_requeued_held", "stuck"),
        ("PENDING", "JobHoldMaxRequeue", "stuck"),
        ("RUNNING", "launch failed requeued held", "running"),
        ("PENDING", "JobHeldUser", "pending"),
        ("PENDING", "JobHeldAdmin", "pending"),
        ("PENDING", "job requeued in held state", "pending"),
        ("PENDING", "Resources", "pending"),
    ],
)
def test_what_slurm_has_put_aside_is_told_from_what_people_hold(state, reason, phase):
    job = parse_queue(f"\x1e1\x1f{state}\x1f{reason}\x1fN/A\x1f(null)\x1fname\n")["1"]
    assert job["phase"] == phase


def test_an_empty_queue_is_no_error():
    assert parse_queue("") == {}


def test_what_a_site_prints_before_is_no_job():
    assert parse_queue(f"Welcome to the cluster!\nCLUSTER: a\n{QUEUE}") == parse_queue(QUEUE)


@pytest.mark.parametrize("text", ["\x1e1\x1fRUNNING\n", "\x1e", QUEUE[:-20]])
def test_an_answer_that_is_cut_is_no_answer(text):
    with pytest.raises(SchedulerUnavailableError, match="can't be read"):
        parse_queue(text)


words = st.text(st.characters(exclude_characters="\x1e\x1f", codec="utf-8"))


@given(st.dictionaries(st.from_regex(r"[0-9]{1,9}(_[0-9]{1,4})?", fullmatch=True), words))
def test_any_name_comes_out_as_it_went_in(names):
    lines = [
        f"\x1e{i}\x1fPENDING\x1fPriority\x1fN/A\x1f(null)\x1f{name}\n" for i, name in names.items()
    ]
    queue = parse_queue("".join(lines))
    assert {job_id: job["job_name"] for job_id, job in queue.items()} == names


@given(st.text(st.sampled_from("\x1e\x1f\n 01_PR=+adaptive-scheduler")))
def test_whatever_comes_is_read_or_refused(text):
    try:
        jobs = parse_queue(text)
    except SchedulerUnavailableError:
        return
    assert all(isinstance(job["job_name"], str) for job in jobs.values())


def test_only_the_users_jobs_are_asked_for_unless_all_are_wanted():
    assert f"--user={os.getuid()}" in queue_command(me_only=True)
    assert not any(word.startswith("--user") for word in queue_command(me_only=False))
