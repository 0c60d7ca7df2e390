"""Buttons answer at once, say what they did, and do no harm when clicked twice."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.widgets import actions
from tests.waiting import wait_until
from tests.widgets.playing import PlayedRun
from tests.widgets.test_figures import FIGURES


def test_what_is_done_is_said_at_once_and_at_the_end():
    said = []
    desk = actions.Desk(lambda: said.append(desk.said))
    desk.do("walk", actions.Doing("Walking ...", lambda: "There."))
    wait_until(lambda: said == [("Walking ...", False), ("There.", False)])


def test_a_second_click_does_nothing_while_the_first_is_heeded():
    gate, done = threading.Event(), []
    desk = actions.Desk(lambda: None)

    def does():
        gate.wait()
        done.append(1)
        return "done"

    for _ in range(3):
        desk.do("walk", actions.Doing("...", does))
    assert desk.is_busy("walk")
    gate.set()
    wait_until(lambda: not desk.is_busy("walk"))
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

    desk = actions.Desk(lambda: None)
    desk.do("walk", actions.Doing("...", does))
    wait_until(lambda: desk.said == (words, True))
    wait_until(lambda: not desk.is_busy("walk"))


def test_each_button_calls_the_run_and_says_what_came_of_it(tmp_path):
    run = PlayedRun(tmp_path)
    assert "cancelled" in actions.cancel_run(run).does()
    assert "2 learners cancelled" in actions.cancel_learners(run, [0, 2]).does()
    assert "2 learners" in actions.retry(run, [1]).does()
    assert "old_logs" in actions.clean_up(run).does()
    assert "Loaded 0 points into 3 learners." in actions.load_learners(run).does()
    assert run.calls == ["cancel", ("cancel", [0, 2]), ("retry", [1]), "cleanup", "load"]
    assert "Paused" in actions.pause_or_resume(run).does()
    assert run.is_paused
    assert "submitted again" in actions.pause_or_resume(run).does()
    assert not run.is_paused


def test_the_question_says_what_would_be_cancelled():
    assert actions.question_before_cancelling(FIGURES, []) == (
        "Cancel the whole run and its 5 jobs? They save first.",
        "Yes, cancel the run",
    )
    question, yes = actions.question_before_cancelling(FIGURES, list(range(7)))
    assert question == "Cancel 7 selected learners (0, 1, 2, 3, 4 ...)? Their jobs save first."
    assert yes == "Yes, cancel 7 selected learners"
    one = replace(FIGURES, jobs_running=1, jobs_pending=0)
    assert "its 1 job?" in actions.question_before_cancelling(one, [])[0]
