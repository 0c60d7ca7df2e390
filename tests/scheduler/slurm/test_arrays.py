"""Numbers become indices of arrays, and ids become numbers again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.errors import SubmissionRejectedError
from adaptive_scheduler.scheduler import Batch, JobArray
from adaptive_scheduler.scheduler.slurm.commands import (
    VARIABLES,
    arrays,
    cancel_commands,
    numbered,
    parse_submit,
    ranges,
    submit_command,
)
from adaptive_scheduler.scheduler.slurm.resources import SlurmResources

sorted_numbers = st.sets(st.integers(0, 20_000), min_size=1, max_size=200).map(sorted)


def batch_of(*numbers, job_name="sweep", log_folder="/logs", **resources):
    return Batch(
        job_name=job_name,
        numbers=numbers,
        script="",
        script_path=Path("/scripts/0.sbatch"),
        resources=SlurmResources(**{"cores": 1, **resources}),
        workdir=Path("/work here"),
        log_folder=Path(log_folder),
        token="0f1e",
    )


def command_for(*numbers, array_size=1001, options=(), **fields):
    batch = batch_of(*numbers, **fields)
    (jobs,) = arrays(numbers, array_size)
    return submit_command(batch, jobs, options)


def of_array(*numbers, shift=0):
    return JobArray(numbers, is_array=True, shift=shift)


# Arrays.


def test_an_index_is_the_number_of_a_job():
    assert list(arrays([0, 3, 999], 1001)) == [of_array(0, 3, 999)]


def test_numbers_beyond_the_limit_are_shifted():
    assert list(arrays([5, 1000, 1002, 3999], 1001)) == [
        of_array(5),
        of_array(1000, 1002, shift=1000),
        of_array(3999, shift=3000),
    ]


@pytest.mark.parametrize("size", [0, 1, 9])
def test_where_there_are_no_arrays_jobs_are_submitted_alone(size):
    assert list(arrays([4, 7], size)) == [JobArray((4,), shift=4), JobArray((7,), shift=7)]


@given(sorted_numbers, st.integers(0, 5000))
def test_all_numbers_are_submitted_and_no_index_is_too_large(numbers, array_size):
    made = list(arrays(numbers, array_size))
    assert [n for jobs in made for n in parse_submit("1", jobs)] == numbers
    assert all(max(jobs.numbers) - jobs.shift < array_size for jobs in made if jobs.is_array)


@given(sorted_numbers, st.integers(0, 5000))
def test_jobs_are_found_in_the_queue_under_their_numbers(numbers, array_size):
    for jobs in arrays(numbers, array_size):
        command = submit_command(batch_of(*numbers), jobs, [])
        (comment,) = [w.removeprefix("--comment=") for w in command if w.startswith("--comment")]
        (name,) = [w.removeprefix("--job-name=") for w in command if w.startswith("--job-name")]
        for number, job_id in parse_submit("12", jobs).items():
            assert numbered(name, job_id, comment) == (f"sweep-{number}", "0f1e")


@given(sorted_numbers)
def test_ranges_name_each_number_once(numbers):
    parts = [part.split("-") for part in ranges(numbers).split(",")]
    assert [n for part in parts for n in range(int(part[0]), int(part[-1]) + 1)] == numbers
    assert ranges([0, 1, 2, 3, 7, 9, 10]) == "0-3,7,9-10"


# A job knows who it is.


@pytest.mark.system
@pytest.mark.parametrize(
    ("environment", "shift", "who"),
    [
        ({"SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "7"}, "0", "12_7 7 0"),
        ({"SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "7"}, "2000", "12_7 2007 0"),
        ({"SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "0"}, "0", "12_0 0 0"),
        ({}, "31", "13 31 0"),
        ({"SLURM_RESTART_COUNT": "2"}, "31", "13 31 2"),
    ],
)
def test_a_job_knows_its_id_its_number_and_how_often_it_began_again(environment, shift, who):
    code = f'echo "{VARIABLES.job_id}" "{VARIABLES.number}" "{VARIABLES.restarts}"'
    said = subprocess.run(
        ["bash", "-c", code, "script", shift],
        env={"SLURM_JOB_ID": "13", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == who


# The command.


def test_one_command_submits_an_array():
    options = ["--nodes=1", "--mem=4G", "--mail-type END"]
    assert command_for(0, 1, 2, 7, options=options) == [
        "sbatch",
        "--parsable",
        "--nodes=1",
        "--mem=4G",
        "--mail-type",
        "END",
        "--job-name=sweep",
        "--array=0-2,7",
        "--comment=adaptive-scheduler=0f1e+0",
        "--chdir=/work here",
        "--output=/logs/sweep-%a-%A_%a.out",
        "/dev/stdin",
        "0",
    ]


def test_output_bears_the_number_of_a_job_and_not_its_index():
    assert "--output=/logs/sweep-2%3a-%A_%a.out" in command_for(2000, 2017)
    command = command_for(42, array_size=1)
    assert "--output=/logs/sweep-42-%j.out" in command
    assert "--job-name=sweep-42" in command
    assert not any(word.startswith("--array") for word in command)


def test_a_percent_sign_in_a_name_is_no_pattern():
    command = command_for(0, job_name="5%a", log_folder="/a %x")
    assert "--output=/a %%x/5%%a-%a-%A_%a.out" in command
    assert "--job-name=5%a" in command


@pytest.mark.parametrize("fields", [{"job_name": "a\\b"}, {"log_folder": "/a\\b"}])
def test_a_backslash_is_refused_since_slurm_would_write_elsewhere(fields):
    with pytest.raises(SubmissionRejectedError, match="backslash"):
        command_for(0, **fields)


@pytest.mark.parametrize("option", ["--comment='for the boss'", "--comment 'for the boss'"])
def test_a_comment_of_the_user_is_kept(option):
    command = command_for(0, options=[option])
    assert command.index("--comment=for the boss adaptive-scheduler=0f1e+0") > 2
    assert numbered("x", "1_0", "for the boss adaptive-scheduler=0f1e+0") == ("x-0", "0f1e")


# Answers.


@pytest.mark.parametrize(
    "text", ["12\n", "12;cluster\n", "Please be kind to the cluster.\n12\n", "12"]
)
def test_the_id_is_found_in_what_sbatch_prints(text):
    assert parse_submit(text, JobArray((7,), shift=7)) == {7: "12"}
    assert parse_submit(text, of_array(7)) == {7: "12_7"}


@pytest.mark.parametrize("text", ["", "Submitted\n", "job 12\n"])
def test_where_sbatch_tells_no_id_there_is_none(text):
    assert parse_submit(text, of_array(7)) == {}


@pytest.mark.parametrize(
    "comment", ["(null)", "", "of the user", "xadaptive-scheduler=1+0", "adaptive-scheduler=1"]
)
def test_jobs_of_others_keep_their_names(comment):
    assert numbered("theirs", "12_7", comment) == ("theirs", "")


# Cancelling.


def test_members_of_an_array_are_cancelled_in_one_word():
    ids = ["12_7", "12_0", "12_1", "9", "13_4", "12_2", "9"]
    assert list(cancel_commands(ids)) == [["scancel", "9", "12_[0-2,7]", "13_[4]"]]


def test_what_is_no_id_is_left_out():
    assert list(cancel_commands(["", "x", "-u", "1_", "12_[0-3]"])) == []


def test_many_jobs_are_cancelled_in_few_calls():
    alone = [str(n) for n in range(2500)]
    odd = [f"9999_{n}" for n in range(1, 10_000, 2)]
    commands = list(cancel_commands(alone + odd))
    assert len(commands) == 3
    longest = max(len(word) for command in commands for word in command)
    assert longest < 2**17  # the kernel takes no longer word
