"""What squeue prints, and what it means. The texts were printed by Slurm 22.05."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler import JobEnd
from adaptive_scheduler.scheduler.slurm.queue import (
    accounting_commands,
    parse_accounting,
    parse_queue,
    parse_recent,
    queue_command,
)

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


RECENT = [
    ("1_0", "CANCELLED", "15", "None"),
    ("6", "CANCELLED", "0", "BeginTime"),
    ("17", "CANCELLED", "9", "None"),
    ("13_0", "COMPLETED", "0", "None"),
    ("12", "FAILED", "1792", "NonZeroExitCode"),
    ("13_1", "FAILED", "256", "NonZeroExitCode"),
    ("14", "FAILED", "9", "JobLaunchFailure"),
    ("15", "FAILED", "4021", "JobLaunchFailure"),
    ("16", "NODE_FAIL", "0", "NodeDown"),
    ("19", "PREEMPTED", "15", "None"),
    ("20", "TIMEOUT", "15", "TimeLimit"),
    ("21", "COMPLETING", "0", "None"),
]

ACCOUNTING = """\
3|FAILED|0:9
4|CANCELLED by 0|0:0
6|FAILED|0:53
7|RUNNING|0:0
1_0|COMPLETED|0:0
1_5|FAILED|5:0
8|REQUEUED|0:0
8|PENDING|0:0
9|NODE_FAIL|0:0
9|COMPLETED|0:0
10|OUT_OF_MEMORY|0:125
11|PREEMPTED|0:0
2_[1-2]|PENDING|0:0
"""


def recent() -> dict[str, JobEnd]:
    lines = [f"{i:64}{state:32}{status:16}{reason:128}\n" for i, state, status, reason in RECENT]
    return parse_recent("".join(lines))


def test_how_jobs_have_ended_that_the_controller_remembers():
    assert recent() == {
        "1_0": JobEnd(state="CANCELLED", reason="ended by SIGTERM"),
        "6": JobEnd(state="CANCELLED", reason="BeginTime"),
        "17": JobEnd(state="CANCELLED", reason="ended by SIGKILL"),
        "13_0": JobEnd(state="COMPLETED", exit_code=0),
        "12": JobEnd(state="FAILED", exit_code=7),
        "13_1": JobEnd(state="FAILED", exit_code=1),
        "14": JobEnd(state="FAILED", reason="JobLaunchFailure, ended by SIGKILL"),
        "15": JobEnd(
            state="FAILED",
            reason="JobLaunchFailure, its folder or its output could not be opened",
        ),
        "16": JobEnd(state="NODE_FAIL", reason="NodeDown", is_no_fault=True),
        "19": JobEnd(state="PREEMPTED", reason="ended by SIGTERM", is_no_fault=True),
        "20": JobEnd(state="TIMEOUT", reason="TimeLimit, ended by SIGTERM"),
    }


def test_how_jobs_have_ended_that_are_in_the_accounting():
    ends = parse_accounting(ACCOUNTING)
    assert ends == {
        "3": JobEnd(state="FAILED", reason="ended by SIGKILL"),
        "4": JobEnd(state="CANCELLED", reason="CANCELLED by 0"),
        "6": JobEnd(state="FAILED", reason="its folder or its output could not be opened"),
        "1_0": JobEnd(state="COMPLETED", exit_code=0),
        "1_5": JobEnd(state="FAILED", exit_code=5),
        "9": JobEnd(state="COMPLETED", exit_code=0),
        "10": JobEnd(state="OUT_OF_MEMORY"),
        "11": JobEnd(state="PREEMPTED", is_no_fault=True),
    }


@pytest.mark.parametrize(
    ("status", "end"),
    [
        ("7:0", JobEnd(state="FAILED", exit_code=7)),
        ("0:9", JobEnd(state="FAILED", reason="ended by SIGKILL")),
        ("N/A", JobEnd(state="FAILED")),
    ],
)
def test_other_versions_write_the_status_otherwise(status, end):
    assert parse_recent(f"{'1':64}{'FAILED':32}{status:16}{'None':128}\n") == {"1": end}


@pytest.mark.parametrize("text", ["", "\n", "a greeting\n", "x|y\n", "|||\n"])
def test_what_is_no_end_is_left_out(text):
    assert parse_recent(text) == {}
    assert parse_accounting(text) == {}


def test_many_jobs_are_looked_up_in_few_calls():
    ids = [f"{array}_{index}" for array in range(3) for index in range(400)]
    commands = list(accounting_commands(ids))
    assert len(commands) == 3
    words = [word for command in commands for word in command if word.startswith("--jobs=")]
    asked = [job_id for word in words for job_id in word.removeprefix("--jobs=").split(",")]
    assert sorted(asked) == sorted(ids)
    assert list(accounting_commands([])) == []


def test_jobs_that_ran_on_another_cluster_of_the_federation_are_looked_up_there():
    (command,) = accounting_commands(["67108869"])
    assert "--federation" in command
    end = JobEnd(state="FAILED", exit_code=3)
    assert parse_accounting("67108869|FAILED|3:0\n") == {"67108869": end}
