"""The strip tells how the run is, in info, in words and as HTML."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from adaptive_scheduler.server_support.info import THIS_PROCESS, Failure, RunInfo
from adaptive_scheduler.widgets.html import asset, static_page, strip
from tests.widgets.fake_run import FakeRun

INFO = RunInfo(
    name="sweep",
    folder="/home/me/sweep-run",
    status="running",
    as_of=1000.0,
    manager=THIS_PROCESS,
    counts={"done": 12, "running": 3, "failed": 1},
    jobs_running=3,
    jobs_pending=2,
    pending_reasons={"Priority": 2},
    elapsed_time=3723.0,
    npoints=12345,
    rate=12.5,
    loss=0.01,
    cpu=97.0,
    memory=3.0,
    core_hours=31.25,
    time_left=timedelta(hours=2),
)


def test_figures_are_those_of_the_run(tmp_path):
    run = FakeRun(tmp_path)
    job = run.job(0)
    job.status(**{"npoints": 50, "npoints/s": 5.0, "cpu_usage": 90.0})
    run.database_manager.reconciler.queue = {
        "7": {"alive": True, "running": False, "reason": "Priority"},
        "8": {"alive": True, "running": True, "reason": "None"},
    }
    info = run.view.info()
    assert info.counts == {"running": 1, "ready": 2}
    assert (info.n_learners, info.npoints, info.rate) == (3, 50, 5.0)
    assert (info.jobs_running, info.jobs_pending) == (1, 0)
    assert info.pending_reasons == {"Priority": 1}
    assert info.cpu == 90.0
    assert not info.is_over


@pytest.mark.parametrize("status", ["finished", "cancelled", "failed"])
def test_a_run_that_is_over_uses_nothing_any_more(tmp_path, status):
    run = FakeRun(tmp_path)
    run.job(0).status(**{"npoints/s": 5.0, "cpu_usage": 90.0})
    run.state_word = status
    info = run.view.info()
    assert info.is_over
    assert (info.jobs_running, info.rate, info.cpu, info.time_left) == (
        0,
        0,
        None,
        None,
    )


def test_the_strip_says_everything_in_words():
    text = strip(INFO)
    for words in (
        'aria-label="Learners: 12 done, 3 running, 1 failed"',
        "16 learners",
        "2 h 00 min",
        "12,345",
        "12.5/s",
        "2 jobs pending: 2 Priority.",
        "31.2",
        "97 %",
    ):
        assert words in text


def test_what_is_not_known_is_called_unknown():
    assert "unknown" in strip(replace(INFO, time_left=None))


def test_the_line_that_tells_why_jobs_wait_is_always_there():
    assert "No jobs are pending." in strip(replace(INFO, jobs_pending=0, pending_reasons={}))
    assert "1 job pending." in strip(replace(INFO, jobs_pending=1, pending_reasons={}))
    assert "pending" not in strip(replace(INFO, status="finished"))


def test_how_jobs_have_ended_is_said_if_not_all_have_ended_well(tmp_path):
    run = FakeRun(tmp_path)
    ends = run.database_manager.state.totals.ends
    ends["COMPLETED"] = 4
    assert "Jobs that ended" not in strip(run.view.info())
    ends["TIMEOUT"] = 3
    ends["OUT_OF_MEMORY"] = 1
    words = "Jobs that ended: 4 COMPLETED, 3 TIMEOUT, 1 OUT_OF_MEMORY."
    assert words in strip(run.view.info())
    run.state_word = "finished"
    assert words in strip(run.view.info())


def test_reasons_that_are_many_are_counted():
    reasons = {f"reason {i}": 10 - i for i in range(7)}
    text = strip(replace(INFO, jobs_pending=49, pending_reasons=reasons))
    assert "49 jobs pending: 10 reason 0, 9 reason 1, 8 reason 2, 7 reason 3, 3 other" in text


def test_a_run_that_is_paused_says_so():
    assert ">paused</span>" in strip(replace(INFO, is_paused=True))


def test_names_and_errors_can_hold_anything():
    nasty = "<script>alert('x')</script>"
    info = replace(INFO, name=nasty, folder=nasty, trouble=nasty, pending_reasons={nasty: 1})
    page = static_page([replace(info, failures=[Failure(3, 1, is_given_up=True, error=nasty)])])
    assert "<script" not in page


def test_a_page_without_javascript_shows_what_has_failed():
    failures = [Failure(i, 1, is_given_up=True, error=f"error {i}") for i in range(25)]
    page = static_page([replace(INFO, failures=failures)])
    assert "error 3" in page
    assert "15 more" in page
    assert "As of 20" in page
    assert "<style>" in page


def test_no_style_or_script_names_another_machine():
    for name in ("theme.css", "strip.css", "grid.css", "grid.js", "plot.js", "log.js", "common.js"):
        assert "http" not in asset(name)
