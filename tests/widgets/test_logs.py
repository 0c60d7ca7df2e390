"""Logs are read from their ends, as people read them, attempt by attempt."""

from __future__ import annotations

import json

import pytest

from adaptive_scheduler.protocol.messages import JobIdentity
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.attempts import attempts_at
from adaptive_scheduler.run_folder.journal import Journal
from adaptive_scheduler.widgets.logs import FollowedLog
from adaptive_scheduler.widgets.view import curves_of
from tests.widgets.fake_run import FakeRun


def status(learner, npoints, second=0, **fields):
    line = {
        "timestamp": f"2026-11-22 12:00:{second:02}.5",
        "level": "info",
        "event": "current status",
        "learner": learner,
        "npoints": npoints,
        **fields,
    }
    return json.dumps(line) + "\n"


# Attempts.


def assigned(learner, number, job_id, log=""):
    return events.Assigned(
        time=10.0 * number,
        learner=learner,
        number=number,
        job=JobIdentity(job_id),
        job_name=f"sweep-{learner}",
        job_number=learner,
        log_fname=log,
        host="node1",
    )


def write_journal(run, *records):
    run.run_folder.root.mkdir(exist_ok=True)
    journal = Journal(run.run_folder.journal)
    for record in records:
        journal.append(record)
    journal.flush()
    journal.close()


def test_attempts_have_their_ends(tmp_path):
    run = FakeRun(tmp_path)
    write_journal(
        run,
        assigned(1, 1, "7"),
        assigned(0, 1, "8"),
        events.Failed(time=1, learner=1, error="ValueError: x", traceback="Traceback"),
        assigned(1, 2, "9"),
        events.JobGone(time=2, job_id="8", end="TIMEOUT", output="slurmstepd: killed"),
        events.JobGone(time=2, job_id="9", end="OUT_OF_MEMORY", output="Killed"),
        assigned(1, 3, "10"),
        events.Released(time=3, learner=1, reason="The time is over."),
        assigned(1, 4, "11"),
        events.Done(time=4, learner=1),
    )
    stories = attempts_at(run.run_folder, 1, 3)
    assert [(s.number, s.job_id, s.outcome) for s in stories] == [
        (1, "7", "failed"),
        (2, "9", "failed"),
        (3, "10", "released"),
        (4, "11", "done"),
    ]
    assert stories[0].traceback == "Traceback"
    assert stories[1].error == "The job ended: OUT_OF_MEMORY."
    assert stories[1].traceback == "Killed"


def test_the_attempt_that_a_compaction_remembers_is_there(tmp_path):
    run = FakeRun(tmp_path)
    facts = {"time": 1, "state": "ready", "attempt": 5, "error": "E", "job_name": "s-2"}
    write_journal(
        run,
        events.LearnerWas(learner=1, fails=0, job=JobIdentity("6"), **facts),
        events.LearnerWas(learner=2, fails=1, job=JobIdentity("7"), **facts),
    )
    found = [attempts_at(run.run_folder, learner, 3) for learner in (1, 2)]
    assert [[(a.number, a.outcome, a.error) for a in each] for each in found] == [
        [(5, "released", "E")],
        [(5, "failed", "E")],
    ]


def test_an_attempt_ends_where_the_state_of_the_run_says_so(tmp_path):
    run = FakeRun(tmp_path)
    lost = events.JobGone(time=2, job_id="8", end="NODE_FAIL", is_no_fault=True)
    write_journal(
        run,
        assigned(0, 1, "7"),
        assigned(1, 1, "7"),  # its job has taken another learner, unheard
        assigned(0, 2, "8"),
        lost,
        assigned(0, 3, "9"),
        assigned(0, 4, "10"),  # another job has it now
        events.JobGone(time=3, job_id="9", end="TIMEOUT"),
    )
    found = [(a.number, a.outcome, a.error) for a in attempts_at(run.run_folder, 0, 3)]
    assert found == [
        (1, "released", ""),
        (2, "released", "The job ended: NODE_FAIL."),
        (3, "released", ""),
        (4, "running", ""),
    ]


def test_without_a_journal_there_are_no_attempts(tmp_path):
    assert attempts_at(FakeRun(tmp_path).run_folder, 0, 3) == []


# What is shown.


@pytest.fixture
def run(tmp_path):
    run = FakeRun(tmp_path, max_fails=1)
    run.run_folder.logs.mkdir(parents=True)
    return run


def play_failure(run):
    log = run.run_folder.logs / "sweep-0-0.log"
    log.write_text(status(0, 1) + status(0, 2, second=1))
    run.job(0).failed(error="ValueError: x", traceback="Traceback ...")
    write_journal(
        run,
        assigned(0, 1, "0", str(log)),
        events.Failed(time=1, learner=0, error="ValueError: x", traceback="Traceback ..."),
    )
    return log


def test_learners_that_failed_come_first(run):
    run.job(1)
    play_failure(run)
    news = FollowedLog(run.view).update()
    assert news.sources == [
        ["", "choose a learner"],
        ["0", "✗ learner 0: failed, 1 failure"],
        ["1", "▶ learner 1: running"],
    ]


def test_the_chosen_log_is_shown_and_followed(run):
    log = play_failure(run)
    pane = FollowedLog(run.view)
    pane.choose(0)
    news = pane.update()
    assert news.head["error"] == "ValueError: x"
    assert news.head["traceback"] == "Traceback ..."
    assert news.head["attempts"] == [["1", "attempt 1: job 0, failed"]]
    assert news.reset.count("\n") == 2
    with log.open("a") as file:
        file.write(status(0, 3, second=2))
    news = pane.update()
    assert (news.reset, news.head) == (None, None)
    assert news.append == "12:00:02  current status  npoints 3\n"
    assert pane.text.count("\n") == 3


def test_what_a_job_has_printed_can_be_chosen(run):
    play_failure(run)
    run.run_folder.output_of("sweep-0", "0").write_text("hello\n")
    pane = FollowedLog(run.view)
    pane.choose(0)
    pane.update()
    pane.choose(file="output")
    assert pane.update().reset == "hello\n"


def test_a_learner_that_nobody_has_begun_has_no_log(run):
    pane = FollowedLog(run.view)
    pane.choose(2)
    news = pane.update()
    assert news.reset == ""
    assert news.head["attempts"] == []


def test_curves_of_a_learner_come_from_its_logs(run):
    play_failure(run)
    (curve,) = curves_of(run.view, [0])
    assert (curve["index"], curve["npoints"], curve["loss"]) == (0, [1, 2], [None, None])
    assert curve["time"][1] - curve["time"][0] == 1.0
