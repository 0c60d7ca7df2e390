"""The strip tells how the run is, in info, in words and as HTML."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from adaptive_scheduler.server_support.info import THIS_PROCESS, Failure, RunInfo
from adaptive_scheduler.widgets import Dashboard, dashboard, html, multi
from adaptive_scheduler.widgets.html import LastState, asset, page_of, static_page, strip
from tests.waiting import wait_until
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


pytest.importorskip("IPython")

VIEW = "application/vnd.jupyter.widget-view+json"
NOT_IN_THIS_TEST = 1e6


class Publisher:
    """Takes what a kernel would send to a notebook."""

    def __init__(self):
        self.new = []
        self.renewed = []

    def publish(self, data, *, transient=None, update=False):
        (self.renewed if update else self.new).append((data, transient))


@pytest.fixture
def shell(monkeypatch):
    """Be a kernel with a notebook."""
    shell = SimpleNamespace(display_pub=Publisher())
    monkeypatch.setattr("IPython.core.interactiveshell.InteractiveShell.instance", lambda: shell)
    monkeypatch.setattr(dashboard, "in_notebook", lambda: True)
    return shell


@pytest.fixture
def interval(monkeypatch):
    """Return a function that sets how often the page is renewed."""

    def set_interval(seconds):
        monkeypatch.setattr(html, "INTERVAL", seconds)

    set_interval(0.0)
    return set_interval


@pytest.fixture
def run(tmp_path):
    return FakeRun(tmp_path)


@pytest.fixture
def state(run, shell, interval):
    """Return the state of the run, as a cell shows it."""
    state = LastState([run.view])
    state.display(SimpleNamespace(model_id="7"))
    return state


def figures_of(run):
    return run.view.info()


def points(bundle):
    """Return how many points a page tells of."""
    return int(bundle["text/html"].split("<dt>points</dt><dd>")[1].split("<")[0])


def test_the_widget_and_what_is_saved_of_it_are_two_outputs(state, shell):
    (widget, no_id), (page, transient) = shell.display_pub.new
    assert widget[VIEW]["model_id"] == "7"
    assert widget["text/plain"] == widget["text/html"] == ""  # nothing is told twice
    assert no_id is None  # so that nothing ever builds it anew
    assert VIEW not in page
    assert "3 learners" in page["text/html"]
    assert "0/3 learners done" in page["text/plain"]
    assert transient["display_id"]


def test_what_has_changed_is_shown_as_soon_as_it_is_time_to(state, run, shell, interval):
    run.job(0).status(npoints=5)
    state.notice(figures_of(run))
    interval(NOT_IN_THIS_TEST)
    run.job(1).status(npoints=6)
    state.notice(figures_of(run))  # the last interval was short
    run.job(2).status(npoints=7)
    state.notice(figures_of(run))
    assert [points(page) for page, _ in shell.display_pub.renewed] == [5, 11]
    ids = {transient["display_id"] for _, transient in shell.display_pub.renewed}
    assert ids == {shell.display_pub.new[1][1]["display_id"]}


def test_that_time_goes_by_is_nothing_new(state, run, shell):
    run.elapsed_time = lambda: 5000.0
    state.notice(figures_of(run))
    assert shell.display_pub.renewed == []


def test_the_end_is_shown_at_once(run, shell, interval):
    interval(NOT_IN_THIS_TEST)
    state = LastState([run.view])
    state.display(SimpleNamespace(model_id="7"))
    run.job(0).status(npoints=5)
    state.notice(figures_of(run))
    assert shell.display_pub.renewed == []
    run.state_word = "finished"
    state.notice(figures_of(run))
    state.notice(figures_of(run))
    ((page, _),) = shell.display_pub.renewed
    assert ">finished</span>" in page["text/html"]
    assert points(page) == 5


def test_what_is_on_no_page_is_not_looked_at(run, shell, interval):
    state = LastState([run.view])
    figures = figures_of(run)
    run.database_manager = None
    state.notice(figures)
    state.end()
    assert shell.display_pub.new == shell.display_pub.renewed == []


def test_a_cell_whose_output_is_captured_gets_nothing_of_other_cells(state, run, shell):
    notebook, captured = shell.display_pub, Publisher()
    shell.display_pub = captured
    run.job(0)
    state.notice(figures_of(run))
    assert len(notebook.renewed) == 1
    assert captured.new == captured.renewed == []


def test_all_cells_that_show_a_dashboard_show_its_last_state(state, shell):
    state.display(SimpleNamespace(model_id="7"))
    ids = [transient["display_id"] for _, transient in shell.display_pub.new if transient]
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_a_dashboard_follows_its_run_and_leaves_how_it_was(run, shell, interval):
    dashboard = Dashboard(run)
    dashboard._ipython_display_()
    board = dashboard._shown
    assert shell.display_pub.new[0][0][VIEW]["model_id"] == dashboard.widget.model_id
    run.job(0).status(npoints=5)
    wait_until(lambda: shell.display_pub.renewed)
    interval(NOT_IN_THIS_TEST)
    dashboard.close()
    assert not board.is_alive
    assert points(shell.display_pub.renewed[-1][0]) == 5
    assert "as-beside" in shell.display_pub.new[1][0]["text/html"].split("</style>")[1]
    assert "as-beside" not in shell.display_pub.renewed[-1][0]["text/html"].split("</style>")[1]
    n_renewed = len(shell.display_pub.renewed)
    dashboard.close()
    assert len(shell.display_pub.renewed) == n_renewed


def test_a_dashboard_that_nobody_sees_renews_nothing(run, shell, interval):
    dashboard = Dashboard(run)
    dashboard._ipython_display_()
    board = dashboard._shown
    board._heard({"shown": 1})
    board._heard({"shown": -1})
    run.job(0)
    board._update()
    assert shell.display_pub.renewed == []
    dashboard.close()


def test_several_runs_are_on_one_page_which_all_of_them_renew(tmp_path, shell, interval):
    runs = [FakeRun(tmp_path / name) for name in ("a", "b")]
    tabs = multi(runs)
    tabs._ipython_display_()
    (widget, _), (page, _) = shell.display_pub.new
    assert widget[VIEW]["model_id"] == tabs.model_id
    assert page["text/html"].count('<section class="as-strip"') == 2
    assert page["text/html"].count("<style>") == 1
    boards = tabs._shown
    for run in runs:
        n_renewed = len(shell.display_pub.renewed)
        run.job(0)
        wait_until(lambda n=n_renewed: len(shell.display_pub.renewed) > n)
    tabs.close()
    tabs.close()
    assert not any(board.is_alive for board in boards)
    assert shell.display_pub.renewed[-1][0]["text/html"].count("1</b> running") == 2


def test_a_page_has_a_bounded_size_whatever_goes_wrong(tmp_path):
    run = FakeRun(tmp_path, n_learners=300)
    for index in range(300):
        run.job(index).failed("E" * 100_000)
    run.job_manager.trouble = "T" * 100_000
    look = run.view.info()
    page = page_of([look])
    assert len(page["text/html"]) < 30_000
    assert len(page["text/plain"]) < 5_000
    assert "290 more" in page["text/html"]
    pages = page_of([look] * 1000)
    assert len(pages["text/html"]) < 300_000
    assert len(pages["text/plain"]) <= 20_000
    assert "And 980 more runs." in pages["text/html"]
