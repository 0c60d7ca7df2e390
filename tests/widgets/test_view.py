"""The dashboard as a widget, without a browser."""

from __future__ import annotations

import threading

import pytest

from adaptive_scheduler.widgets.dashboard import ShownRun
from adaptive_scheduler.widgets.view import DashboardWidget, UpdateThread, picture_of
from tests.waiting import PATIENCE, wait_until
from tests.widgets.fake_run import FakeRun


def test_it_calls_again_and_again_from_one_thread():
    threads = []
    writer = UpdateThread(lambda: threads.append(threading.current_thread()), interval=0.1)
    writer.start()
    wait_until(lambda: len(threads) >= 3)
    writer.close()
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()


def test_it_calls_soon_when_it_is_nudged():
    called = threading.Semaphore(0)
    writer = UpdateThread(called.release, interval=10 * PATIENCE)
    writer.start()
    assert called.acquire(timeout=PATIENCE)
    writer.nudge()
    assert called.acquire(timeout=PATIENCE)
    writer.close()


def test_after_it_was_closed_nothing_is_called():
    calls = []
    writer = UpdateThread(lambda: calls.append(1), interval=0.1)
    writer.start()
    wait_until(lambda: calls)
    writer.close()
    n_calls = len(calls)
    writer.nudge()
    assert not writer.is_alive
    assert not writer._thread.is_alive()
    assert len(calls) == n_calls


def test_an_error_is_logged_once_and_ends_nothing(caplog):
    calls = []

    def update():
        calls.append(1)
        raise ValueError("no")

    writer = UpdateThread(update, interval=0.1)
    writer.start()
    wait_until(lambda: len(calls) >= 3)
    writer.close()
    assert sum("brought up to date" in record.message for record in caplog.records) == 1


@pytest.fixture
def run(tmp_path):
    return FakeRun(tmp_path)


@pytest.fixture
def make_dashboard(run):
    dashboards = []

    def make(*arguments):
        dashboard = DashboardWidget(ShownRun.of(run), *arguments)
        dashboards.append(dashboard)
        return dashboard

    yield make
    for dashboard in dashboards:
        dashboard.close()


def test_a_dashboard_follows_its_run(run, make_dashboard):
    dashboard = make_dashboard()
    job = run.job(0)
    job.status(npoints=50)
    wait_until(lambda: "1</b> running" in dashboard._strip.value)
    wait_until(lambda: dashboard._table.columns.row(0)["npoints"] == 50)


def test_several_dashboards_of_a_run_follow_it(run, make_dashboard):
    dashboards = [make_dashboard() for _ in range(3)]
    run.job(0)
    for dashboard in dashboards:
        wait_until(lambda b=dashboard: "1</b> running" in b._strip.value)


def test_a_dashboard_that_is_closed_is_followed_by_nobody(run, make_dashboard):
    dashboard, other = make_dashboard(), make_dashboard()
    writer = dashboard._writer._thread
    dashboard.close()
    dashboard.close()
    assert not writer.is_alive()
    assert dashboard.widget.comm is None
    assert len(run.manager.record.watched._watchers) == 1  # of the monitor
    assert other.is_alive


def test_a_dashboard_that_is_on_no_page_says_nothing(run, make_dashboard):
    dashboard = make_dashboard()
    dashboard._heard({"shown": 1})
    dashboard._heard({"shown": -1})
    wait_until(dashboard._is_out_of_sight)
    before = dashboard._strip.value
    run.job(0)
    dashboard._update()
    assert dashboard._strip.value == before
    dashboard._heard({"shown": 1})
    wait_until(lambda: "1</b> running" in dashboard._strip.value)


def test_a_page_that_has_missed_something_gets_everything_again(run, make_dashboard, monkeypatch):
    looks, sent = [], []
    dashboard = make_dashboard(looks.append)
    monkeypatch.setattr(dashboard._learners, "send_state", sent.append)
    run.job(0)
    wait_until(lambda: dashboard._learners.columns.sequence == 1)
    dashboard._learners._heard({"has": 1})
    n_looks = len(looks)
    wait_until(lambda: len(looks) > n_looks + 1)
    assert sent == []
    dashboard._learners._heard({"has": 0})
    wait_until(lambda: sent == ["table"])


def test_a_selection_is_what_buttons_are_about(run, make_dashboard):
    dashboard = make_dashboard()
    dashboard._learners.selected = [2, 1, 7]  # there is no learner 7
    wait_until(lambda: dashboard._controls._cancel.description == "Cancel selected ...")
    dashboard._controls._cancel.click()
    wait_until(lambda: dashboard._controls._asking.layout.display is None)
    assert "2 selected learners (2, 1)" in dashboard._controls._question.value
    dashboard._controls._yes.click()
    dashboard._controls._yes.click()
    wait_until(lambda: "2 learners cancelled" in dashboard._controls._said.value)
    assert run.calls == [("cancel", [2, 1])]
    wait_until(lambda: dashboard._controls._asking.layout.display == "none")


def test_what_a_page_says_may_be_nonsense(run, make_dashboard):
    looks = []
    dashboard = make_dashboard(looks.append)
    for content in ({}, {"open": "x"}, {"open": -1}, {"shown": None}, {"has": "?"}):
        dashboard._learners._heard(content)
    dashboard._logs._heard({"source": "99", "attempt": "x", "file": 3})
    n_looks = len(looks)
    wait_until(lambda: len(looks) > n_looks + 1)  # it got through all of an update


def test_a_learner_that_is_opened_shows_its_log(run, make_dashboard):
    dashboard = make_dashboard()
    run.job(1)
    dashboard._heard({"open": 1})
    wait_until(lambda: dashboard._logs.tail.source == "1")
    assert dashboard._tabs.titles[dashboard._tabs.selected_index] == "Logs"


def test_the_own_plot_of_a_learner_is_a_picture(run, make_dashboard):
    dashboard = make_dashboard()
    dashboard._draw_learner()
    wait_until(lambda: "load the learners first" in dashboard._picture.value)
    run.learners[0].tell_many([0, 0.5, 1], [0, 0.5, 1])
    picture_of(run.learners[0], "")  # loads what draws, which may take long
    dashboard._draw_learner()
    wait_until(lambda: "data:image/png;base64," in dashboard._picture.value)


def test_each_look_is_told_to_who_wants_to_know(run, make_dashboard):
    seen = []
    make_dashboard(lambda figures: seen.append(figures.status))
    wait_until(lambda: seen.count("running") > 1)
    run.state_word = "finished"
    wait_until(lambda: seen[-1] == "finished")


def test_all_that_is_written_comes_from_one_thread(run, make_dashboard, monkeypatch):
    threads = set()
    dashboard = make_dashboard()
    send = type(dashboard._learners).send
    monkeypatch.setattr(
        type(dashboard._learners),
        "send",
        lambda *a, **k: (threads.add(threading.current_thread()), send(*a, **k)),
    )
    job = run.job(0)
    job.status(npoints=1)
    wait_until(lambda: threads)
    assert threads == {dashboard._writer._thread}
