"""Several runs, looked at, started and cancelled together."""

from __future__ import annotations

import adaptive
import pytest

from adaptive_scheduler import MultiRunManager
from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.scheduler import Local
from tests.end_to_end.ledger import Noted
from tests.waiting import wait_until


@pytest.fixture
def make_named(make_run, ledger):
    """Return a function that makes a run of one learner, by name."""

    def make(name, gate=None):
        learner = adaptive.SequenceLearner(Noted(ledger.path, free=1, gate=gate), [1, 2, 3])
        return make_run([learner], [f"data/{name}.pickle"], job_name=name)

    return make


def test_runs_go_one_after_another_and_are_looked_at_together(make_named):
    runs = MultiRunManager([make_named("first")])
    runs.add_run_manager(make_named("second"), wait_for="first")
    runs.start_all()
    for run in runs.run_managers.values():
        run.wait()
    first, second = runs.run_managers.values()
    assert second.job_manager.task is not None
    assert first.end_time <= second.database_manager.state.learners[0].started
    assert "first" in runs.info("text")
    assert [info.n_done for info in runs.info("data").values()] == [1, 1]
    assert repr(runs) == "<MultiRunManager: 'first' finished, 'second' finished>"


def test_all_are_cancelled_also_those_that_still_wait(make_named, gate, ledger):
    runs = MultiRunManager()
    runs.add_run_manager(make_named("first", gate), start=True)
    runs.add_run_manager(make_named("second"), start=True, wait_for="first")
    wait_until(ledger.begun)
    runs.cancel_all()
    for run in runs.run_managers.values():
        run.wait()
        assert run.status() == "cancelled"
    assert Local().queue() == {}
    assert len(ledger.jobs()) == 1


def test_a_saved_notebook_shows_html_and_a_terminal_text(make_named, capsys):
    runs = MultiRunManager([make_named("first"), make_named("second")])
    shown = runs._repr_mimebundle_()
    for name in ("first", "second"):
        words = (
            f'<span class="as-name">{name}</span><span class="as-status as-status-not-yet-started">'
        )
        assert words in shown["text/html"]
    assert shown["text/html"].count("1 learner<") == 2
    assert "second not yet started" in shown["text/plain"]
    assert "no runs" in MultiRunManager()._repr_mimebundle_()["text/plain"]
    runs._ipython_display_()
    assert "second not yet started" in capsys.readouterr().out


def test_a_widget_has_a_tab_for_each_run(make_named):
    runs = MultiRunManager([make_named("first"), make_named("second")])
    tabs = runs.info()
    assert tabs.titles == ("first", "second")
    assert len(tabs.children) == 2
    with pytest.raises(InvalidInputError, match="wigdet"):
        runs.info("wigdet")


def test_runs_are_told_apart_by_name(make_named):
    runs = MultiRunManager([make_named("first")])
    with pytest.raises(InvalidInputError, match="first"):
        runs.add_run_manager(make_named("first"))
    with pytest.raises(InvalidInputError, match="third"):
        runs.add_run_manager(make_named("second"), wait_for="third")
    assert list(runs.run_managers) == ["first"]


def test_a_run_that_is_removed_goes_on(make_named):
    runs = MultiRunManager()
    runs.add_run_manager(make_named("first"), start=True)
    run = runs.run_managers["first"]
    runs.remove_run_manager("first")
    run.wait()
    assert run.status() == "finished"
    with pytest.raises(InvalidInputError, match="none"):
        runs.remove_run_manager("first")


def test_a_run_that_has_begun_can_wait_for_no_other(make_named):
    runs = MultiRunManager([make_named("first")])
    begun = make_named("second")
    begun.start()
    with pytest.raises(InvalidInputError, match="started before"):
        runs.add_run_manager(begun, wait_for="first")
    begun.wait()
