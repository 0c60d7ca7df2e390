"""What qstat prints is read as a person would read it."""

from __future__ import annotations

import calendar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.scheduler.pbs.queue import end_of, parse_id, parse_jobs, queue_of
from tests.cluster.pbs.text import record
from tests.scheduler.pbs_answers import FOLDER, answer_to, answers


def jobs_in(name, command):
    return parse_jobs(answer_to(name, command).stdout)


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.txt")))
def test_in_every_transcript_each_job_is_found_with_its_attributes(name):
    for answer in answers(name):
        if "qstat" not in answer.command or "|" in answer.command:
            continue
        jobs = parse_jobs(answer.stdout)
        ids = [line[8:] for line in answer.stdout.splitlines() if line.startswith("Job Id: ")]
        assert list(jobs) == ids
        for job in jobs.values():
            assert job["Job_Owner"] == "alice@pbs-head.lab.test"
            assert len(job["job_state"]) == 1
            assert not any(c in value for value in job.values() for c in "\n\t")


def test_a_running_job():
    jobs = jobs_in("states_qstat_f_run", "qstat")
    assert jobs["125.pbs-head"]["Submit_arguments"].endswith(', yes" plain.sh')
    assert jobs["125.pbs-head"]["Variable_List"].count("a" * 120) == 1
    reason = "Job run at Sun Nov 22 at 08:24 on (pbs-head:ncpus=1)+(pbs-head:ncpus=1)"
    assert queue_of(jobs) == {
        "125.pbs-head": {
            "job_name": "st_run",
            "state": "R",
            "alive": True,
            "running": True,
            "phase": "running",
            "reason": reason,
            "token": "",
            "submitted": calendar.timegm((2026, 11, 22, 8, 24, 42)),
        }
    }


def test_long_lines_and_short_lines_say_the_same():
    short = jobs_in("states_qstat_f_run", "qstat")
    assert short == jobs_in("qstat_f_w_one", "qstat")


@pytest.mark.parametrize(
    ("name", "command", "state", "reason"),
    [
        ("states_qstat_f_q", "qstat", "Q", "Can Never Run: Insufficient amount of resource: ncpus"),
        ("states_qstat_f_wait", "qstat", "W", "waits until Sun Nov 22 09:24:42 2026 UTC"),
        ("states_qstat_f_dep", "qstat", "H", ""),
    ],
)
def test_a_job_that_waits_says_why(name, command, state, reason):
    (job,) = queue_of(jobs_in(name, command)).values()
    assert (job["state"], job["alive"], job["running"]) == (state, True, False)
    assert job["reason"].startswith(reason)
    assert job["reason"]


def test_a_job_that_was_on_two_nodes_and_has_ended():
    jobs = jobs_in("env_in_job_select_scatter_mpiprocs", "qstat -x -f")
    (job,) = jobs.values()
    assert job["exec_vnode"] == "(pbs-head:ncpus=2)+(node2:ncpus=2)"
    assert job["comment"].endswith("on (pbs-head:ncpus=2)+(node2:ncpus=2) and finished")
    assert not queue_of(jobs)["3.pbs-head"]["alive"]
    assert str(end_of("3.pbs-head", job)) == "COMPLETED, exit code 0"


@pytest.mark.parametrize(
    "name", ["array_qstat_f_parent_running", "array_qstat_x_f_finished_parent"]
)
def test_an_array_by_itself_is_no_job(name):
    jobs = jobs_in(name, "qstat")
    assert list(jobs) == ["8[].pbs-head"]
    assert queue_of(jobs) == {}


def test_a_suspended_job_has_begun():
    (job,) = queue_of(jobs_in("qsig_suspend_root", "J=")).values()
    assert (job["state"], job["alive"], job["running"]) == ("S", True, True)


def test_an_array_is_shown_by_its_members():
    queue = queue_of(jobs_in("array_qstat_t_f_running", "qstat"))
    assert list(queue) == [f"8[{i}].pbs-head" for i in range(10)]
    assert [job["state"] for job in queue.values()] == ["R"] * 6 + ["Q"] * 4
    assert [job["running"] for job in queue.values()] == [True] * 6 + [False] * 4
    assert queue["8[0].pbs-head"]["reason"].startswith("Job run at")
    assert queue["8[9].pbs-head"]["reason"] == "waits for its turn: its array has begun"


def test_members_that_have_ended_are_not_alive_while_the_others_run():
    for name, array in [("array_midway_history_off", 156), ("array_midway_history_on", 155)]:
        queue = queue_of(jobs_in(name, f"qstat -t -f '{array}[]"))
        assert [job["state"] for job in queue.values()] == ["X"] * 3 + ["R"] * 5
        assert [job["alive"] for job in queue.values()] == [False] * 3 + [True] * 5


def test_members_of_a_held_array_are_held():
    array = {"job_state": "H", "Hold_Types": "u"}
    queue = queue_of({"3[].s": array, "3[0].s": {"job_state": "Q", "Hold_Types": "u"}})
    assert (queue["3[0].s"]["state"], queue["3[0].s"]["reason"]) == ("H", "held by the user")


def test_a_job_that_the_server_holds_says_why():
    comment = "job held, too many failed attempts to run"
    job = {"job_state": "H", "Hold_Types": "s", "comment": comment}
    held = queue_of({"3.s": job})["3.s"]
    assert (held["reason"], held["phase"]) == (comment, "stuck")


def test_a_job_that_waits_for_another_is_not_stuck():
    assert queue_of({"3.s": {"job_state": "H", "Hold_Types": "s"}})["3.s"]["phase"] == "pending"


@pytest.mark.parametrize(
    ("states", "phase"),
    [("QHW", "pending"), ("RSU", "running"), ("E", "ending"), ("FXC", "over"), ("TMB", "unknown")],
)
def test_what_states_mean(states, phase):
    for state in states:
        assert queue_of({"3.s": {"job_state": state}})["3.s"]["phase"] == phase


def test_servers_have_names_with_dots_and_ports():
    queue = queue_of(parse_jobs(record("3.pbs-2.lab:15001", [("job_state", "R")], is_wide=True)))
    assert list(queue) == ["3.pbs-2.lab:15001"]


@pytest.mark.parametrize("state", ["Z", "", "Running"])
def test_a_state_nobody_has_heard_of_is_alive(state):
    assert queue_of({"3.s": {"job_state": state}})["3.s"]["alive"]


def test_how_members_have_ended_where_there_is_a_history():
    jobs = jobs_in("array_midway_history_on", "qstat -t -f '155[]")
    ends = {parse_id(i).number: end_of(i, job) for i, job in jobs.items()}
    assert str(ends[0]) == "COMPLETED, exit code 0"
    assert str(ends[1]) == "FAILED, exit code 3"
    assert "SIGKILL" in str(ends[2])
    assert [ends[i] for i in (None, 3, 4, 5, 6, 7)] == [None] * 6


def test_without_a_history_the_end_of_a_member_is_not_known():
    # Each is shown with the exit status of whichever ended last.
    jobs = jobs_in("array_midway_history_off", "qstat -t -f '156[]")
    assert all(end_of(job_id, job) is None for job_id, job in jobs.items())


def test_a_job_that_was_deleted_was_cancelled():
    jobs = parse_jobs(
        "Job Id: 116.pbs-head\n" + answers("qdel_running")[7].stdout.partition("\n08:")[0]
    )
    end = end_of("116.pbs-head", jobs["116.pbs-head"])
    assert end.state == "CANCELLED"
    assert end.reason.endswith("terminated by alice@pbs-head.lab.test, ended by SIGTERM")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("0", "COMPLETED, exit code 0"),
        ("126", "FAILED, exit code 126"),
        ("255", "FAILED, exit code 255"),
        ("265", "FAILED (ended by SIGKILL, exit status 265)"),
        ("271", "FAILED (ended by SIGTERM, exit status 271)"),
        ("-29", "TIMEOUT (it reached its walltime)"),
        ("-27", "OUT_OF_MEMORY (it used too much memory)"),
        ("-31", "OUT_OF_MEMORY (it used too many huge pages of memory)"),
        ("-4", "NODE_FAIL (its node began anew)"),
        ("-20", "NODE_FAIL (the connection to its first node was lost)"),
        ("-17", "FAILED (a hook of the site did not let it begin)"),
        ("-19", "CANCELLED (a hook of the site deleted it)"),
        ("-99", "FAILED (PBS ended it: exit status -99)"),
    ],
)
def test_exit_statuses(status, said):
    assert str(end_of("1.s", {"job_state": "F", "Exit_status": status})) == said


@pytest.mark.parametrize("status", [-4, -5, -6, -11, -12, -14, -15, -18, -20, -32])
def test_what_a_node_or_the_site_has_ended_is_no_fault_of_the_job(status):
    end = end_of("1.s", {"job_state": "F", "Exit_status": str(status)})
    assert end.is_no_fault
    assert end.exit_code is None


@pytest.mark.parametrize("status", [0, 1, 271, -1, -2, -3, -10, -16, -17, -19, -22, -27, -29, -99])
def test_what_a_job_may_have_brought_about_counts(status):
    # One that can't be started would be tried for ever else.
    assert not end_of("1.s", {"job_state": "F", "Exit_status": str(status)}).is_no_fault


def test_a_job_that_made_room_for_another_is_at_no_fault():
    deleted = {"job_state": "F", "substate": "91", "Exit_status": "271"}
    assert end_of("1.s", deleted).state == "CANCELLED"
    end = end_of("1.s", {**deleted, "sched_preempted": "1795335193"})
    assert (end.state, end.is_no_fault) == ("PREEMPTED", True)


def test_torque_tells_the_end_in_its_own_words():
    job = {"job_state": "C", "exit_status": "3"}
    assert str(end_of("1.s", job)) == "FAILED, exit code 3"
    assert end_of("1[2].s", job) is None
    assert str(end_of("1[2].s", {**job, "job_array_id": "2"})) == "FAILED, exit code 3"
    overtime = {"job_state": "C", "exit_status": "-11"}
    assert end_of("1.s", overtime).state == "TIMEOUT"
    lost = {"job_state": "C", "exit_status": "-4"}
    assert end_of("1.s", lost).is_no_fault
    assert end_of("1.s", {**lost, "exit_status": "-14"}).state == "FAILED"


def test_a_job_that_is_back_in_the_queue_has_not_ended():
    assert end_of("1.s", {"job_state": "Q", "Exit_status": "271"}) is None
    assert end_of("1.s", {"job_state": "F"}) is None


@pytest.mark.parametrize(
    ("job_id", "parts"),
    [
        ("12.server", ("", None, False)),
        ("12", ("", None, False)),
        ("12[].a.b", ("", None, True)),
        ("12[3].a.b", ("12[].a.b", 3, False)),
        ("12[3]", ("12[]", 3, False)),
        ("x", None),
        ("", None),
        ("12_7", None),
    ],
)
def test_ids(job_id, parts):
    assert parse_id(job_id) == parts


PARTS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=90)
LURES = st.sampled_from(["Job Id: 1.x", " = ", "job_state = F", ",", "\\,", "é☃", "    "])
VALUES = st.lists(PARTS | LURES, max_size=8).map("".join)
NAMES = st.sampled_from(["comment", "Job_Name", "Variable_List", "Resource_List.a-b", "x"])
IDS = st.from_regex(r"[1-9][0-9]{0,5}(\[[0-9]{0,4}\])?\.[a-z-]{1,9}", fullmatch=True)


@given(st.dictionaries(IDS, st.dictionaries(NAMES, VALUES)), st.booleans())
def test_whatever_the_values_are_they_are_read_as_they_were(jobs, is_wide):
    text = "".join(record(i, job.items(), is_wide=is_wide) for i, job in jobs.items())
    assert parse_jobs(text) == jobs


@given(st.text())
def test_nothing_that_is_printed_makes_reading_fail(text):
    queue_of(parse_jobs(text))


@pytest.mark.parametrize("is_wide", [True, False])
def test_a_stranger_cannot_make_up_jobs_with_line_breaks(is_wide):
    odd = "x\nJob Id: 9.made-up\nstill the value"
    text = record("1.s", [("Job_Name", odd), ("job_state", "R")], is_wide=is_wide)
    text += record("2.s", [("Job_Name", "nan"), ("job_state", "Q")], is_wide=is_wide)
    assert {i: job["job_state"] for i, job in parse_jobs(text).items()} == {"1.s": "R", "2.s": "Q"}


@pytest.mark.parametrize("is_wide", [True, False])
def test_a_line_of_a_value_is_not_taken_for_the_state(is_wide):
    # Sites may give the user's environment to all jobs; functions of shells have lines.
    function = "BASH_FUNC_f%%=() {\n    job_state = F\n    local x = y\n}"
    attributes = [("job_state", "R"), ("Variable_List", function), ("comment", "runs")]
    (job,) = parse_jobs(record("1.s", attributes, is_wide=is_wide)).values()
    assert (job["job_state"], job["comment"]) == ("R", "runs")


def test_a_greeting_of_the_site_is_no_job():
    text = "Welcome to\nPBS\n" + record("1.s", [("job_state", "R")], is_wide=True)
    assert list(parse_jobs(text)) == ["1.s"]
