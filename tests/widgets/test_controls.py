"""Buttons answer at once, say what they did, and do no harm when clicked twice."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.widgets import controls
from adaptive_scheduler.widgets.dashboard import ShownRun
from tests.waiting import wait_until
from tests.widgets.fake_run import FakeRun
from tests.widgets.test_html import INFO


def test_what_is_done_is_said_at_once_and_at_the_end():
    said = []
    runner = controls.ActionRunner(lambda: said.append(runner.said))
    runner.do("walk", controls.Action("Walking ...", lambda: "There."))
    wait_until(lambda: said == [("Walking ...", False), ("There.", False)])


def test_a_second_click_does_nothing_while_the_first_is_heeded():
    gate, done = threading.Event(), []
    runner = controls.ActionRunner(lambda: None)

    def does():
        gate.wait()
        done.append(1)
        return "done"

    for _ in range(3):
        runner.do("walk", controls.Action("...", does))
    assert runner.is_busy("walk")
    gate.set()
    wait_until(lambda: not runner.is_busy("walk"))
    assert done == [1]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (AdaptiveSchedulerError("No queue."), "No queue."),
        (OSError("disk"), "That failed: OSError('disk')"),
    ],
)
def test_what_fails_is_said(error, words):
    def does():
        raise error

    runner = controls.ActionRunner(lambda: None)
    runner.do("walk", controls.Action("...", does))
    wait_until(lambda: runner.said == (words, True))
    wait_until(lambda: not runner.is_busy("walk"))


def test_each_button_calls_the_run_and_says_what_came_of_it(tmp_path):
    played = FakeRun(tmp_path)
    run = ShownRun.of(played)
    assert "cancelled" in controls.cancel_run(run).does()
    assert "2 learners cancelled" in controls.cancel_learners(run, [0, 2]).does()
    assert "2 learners" in controls.retry(run, [1]).does()
    assert "old_logs" in controls.clean_up(run, played).does()
    assert "Loaded 0 points into 3 learners." in controls.load_learners(played).does()
    assert played.calls == ["cancel", ("cancel", [0, 2]), ("retry", [1]), "cleanup", "load"]
    assert "Paused" in controls.pause_or_resume(run).does()
    assert played.manager.state.is_paused
    assert "submitted again" in controls.pause_or_resume(run).does()
    assert not played.manager.state.is_paused


def test_the_question_says_what_would_be_cancelled():
    assert controls.question_before_cancelling(INFO, []) == (
        "Cancel the whole run and its 5 jobs? They save first.",
        "Yes, cancel the run",
    )
    question, yes = controls.question_before_cancelling(INFO, list(range(7)))
    assert question == "Cancel 7 selected learners (0, 1, 2, 3, 4 ...)? Their jobs save first."
    assert yes == "Yes, cancel 7 selected learners"
    one = replace(INFO, jobs_running=1, jobs_pending=0)
    assert "its 1 job?" in controls.question_before_cancelling(one, [])[0]
