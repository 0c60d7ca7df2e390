"""The dashboard as a widget, without a browser."""

from __future__ import annotations

import threading

import pytest

from adaptive_scheduler.widgets.picture import picture_of
from adaptive_scheduler.widgets.view import Board
from tests.waiting import wait_until
from tests.widgets.playing import PlayedRun


@pytest.fixture
def run(tmp_path):
    return PlayedRun(tmp_path)


@pytest.fixture
def make_board(run):
    boards = []

    def make(*arguments):
        board = Board(run, *arguments)
        boards.append(board)
        return board

    yield make
    for board in boards:
        board.close()


def test_a_dashboard_follows_its_run(run, make_board):
    board = make_board()
    job = run.job(0)
    job.status(npoints=50)
    wait_until(lambda: "1</b> running" in board._strip.value)
    wait_until(lambda: board._table.columns.row(0)["npoints"] == 50)


def test_several_dashboards_of_a_run_follow_it(run, make_board):
    boards = [make_board() for _ in range(3)]
    run.job(0)
    for board in boards:
        wait_until(lambda b=board: "1</b> running" in b._strip.value)


def test_a_dashboard_that_is_closed_is_followed_by_nobody(run, make_board):
    board, other = make_board(), make_board()
    writer = board._writer._thread
    board.close()
    board.close()
    assert not writer.is_alive()
    assert board.widget.comm is None
    assert len(run.manager.state._watchers) == 2  # of the recorder, and of the other
    assert other.is_alive


def test_a_dashboard_that_is_on_no_page_says_nothing(run, make_board):
    board = make_board()
    board._heard({"shown": 1})
    board._heard({"shown": -1})
    wait_until(board._is_out_of_sight)
    before = board._strip.value
    run.job(0)
    board._update()
    assert board._strip.value == before
    board._heard({"shown": 1})
    wait_until(lambda: "1</b> running" in board._strip.value)


def test_a_page_that_has_missed_something_gets_everything_again(run, make_board, monkeypatch):
    looks, sent = [], []
    board = make_board(looks.append)
    monkeypatch.setattr(board._learners, "send_state", sent.append)
    run.job(0)
    wait_until(lambda: board._learners.columns.sequence == 1)
    board._learners._heard({"has": 1})
    n_looks = len(looks)
    wait_until(lambda: len(looks) > n_looks + 1)
    assert sent == []
    board._learners._heard({"has": 0})
    wait_until(lambda: sent == ["table"])


def test_a_selection_is_what_buttons_are_about(run, make_board):
    board = make_board()
    board._learners.selected = [2, 1, 7]  # there is no learner 7
    wait_until(lambda: board._controls._cancel.description == "Cancel selected ...")
    board._controls._cancel.click()
    wait_until(lambda: board._controls._asking.layout.display is None)
    assert "2 selected learners (2, 1)" in board._controls._question.value
    board._controls._yes.click()
    board._controls._yes.click()
    wait_until(lambda: "2 learners cancelled" in board._controls._said.value)
    assert run.calls == [("cancel", [2, 1])]
    wait_until(lambda: board._controls._asking.layout.display == "none")


def test_what_a_page_says_may_be_nonsense(run, make_board):
    looks = []
    board = make_board(looks.append)
    for content in ({}, {"open": "x"}, {"open": -1}, {"shown": None}, {"has": "?"}):
        board._learners._heard(content)
    board._logs._heard({"source": "99", "attempt": "x", "file": 3})
    n_looks = len(looks)
    wait_until(lambda: len(looks) > n_looks + 1)  # it got through all of an update


def test_a_learner_that_is_opened_shows_its_log(run, make_board):
    board = make_board()
    run.job(1)
    board._heard({"open": 1})
    wait_until(lambda: board._logs.tail.source == "1")
    assert board._tabs.titles[board._tabs.selected_index] == "Logs"


def test_the_own_plot_of_a_learner_is_a_picture(run, make_board):
    board = make_board()
    board._draw_learner()
    wait_until(lambda: "load the learners first" in board._picture.value)
    run.learners[0].tell_many([0, 0.5, 1], [0, 0.5, 1])
    picture_of(run.learners[0], "")  # loads what draws, which may take long
    board._draw_learner()
    wait_until(lambda: "data:image/png;base64," in board._picture.value)


def test_each_look_is_told_to_who_wants_to_know(run, make_board):
    seen = []
    make_board(lambda figures: seen.append(figures.status))
    wait_until(lambda: seen.count("running") > 1)
    run.state_word = "finished"
    wait_until(lambda: seen[-1] == "finished")


def test_all_that_is_written_comes_from_one_thread(run, make_board, monkeypatch):
    threads = set()
    board = make_board()
    send = type(board._learners).send
    monkeypatch.setattr(
        type(board._learners),
        "send",
        lambda *a, **k: (threads.add(threading.current_thread()), send(*a, **k)),
    )
    job = run.job(0)
    job.status(npoints=1)
    wait_until(lambda: threads)
    assert threads == {board._writer._thread}
