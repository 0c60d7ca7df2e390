"""How jobs have ended. The texts were printed by Slurm 22.05."""

from __future__ import annotations

import pytest

from adaptive_scheduler.scheduler.jobs import JobEnd
from adaptive_scheduler.scheduler.slurm.ends import (
    accounting_commands,
    parse_accounting,
    parse_recent,
)

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
