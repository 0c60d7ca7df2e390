"""One object with three faces, and the public functions around it."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import adaptive
import pandas as pd
import pytest

from adaptive_scheduler import RunManager, scheduler, widgets
from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.widgets import RunManagerInfo
from adaptive_scheduler.widgets.tables import load_dataframe
from tests.waiting import wait_until


@pytest.fixture
def run(tmp_path, monkeypatch, local_spool):
    monkeypatch.chdir(tmp_path)
    learners = [adaptive.Learner1D(abs, (0, 1)) for _ in range(3)]
    fnames = [f"{i}.pickle" for i in range(3)]
    return RunManager(scheduler.Local(cores=1), learners, fnames, goal=10, job_name="sweep")


def test_a_terminal_shows_text(run):
    assert repr(run.info()) == run.info("text")
    assert "sweep not yet started" in str(run.info())


def test_there_are_three_formats(run):
    assert run.info("data").name == "sweep"
    with pytest.raises(InvalidInputError, match="'widget', 'text' or 'data', not 'html'"):
        run.info("html")


def test_a_saved_page_shows_html_without_javascript(run):
    html = run.info()._repr_html_()
    assert "3 learners" in html
    assert "<script" not in html


def test_without_a_kernel_there_is_no_widget(run):
    bundle = run._repr_mimebundle_()
    assert "sweep" in bundle["text/plain"]
    assert not any("widget" in kind for kind in bundle)


def test_text_and_html_need_no_widgets(run):
    program = (
        "import sys\n"
        "for name in ('ipywidgets', 'anywidget', 'IPython'):\n"
        "    sys.modules[name] = None\n"
        "import adaptive\n"
        "from adaptive_scheduler import RunManager, scheduler\n"
        "learners = [adaptive.Learner1D(abs, (0, 1))]\n"
        "run = RunManager(scheduler.Local(cores=1), learners, ['a'], goal=1)\n"
        "print(run.info())\n"
        "assert '1 learner' in run.info()._repr_html_()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "not yet started" in done.stdout


def test_a_widget_is_made_once_and_closed_once(run):
    dashboard = run.info()
    assert dashboard.widget is dashboard.widget
    dashboard.close()
    dashboard.close()


def test_runs_stand_behind_each_other(run):
    tabs = widgets.multi([run])
    assert tabs.titles == ("sweep",)
    tabs.close()


def test_the_log_explorer_is_a_part_of_the_dashboard(run):
    tail = widgets.log_explorer(run)
    wait_until(lambda: tail.sources == [["", "choose a learner"]])
    tail.close()
    assert tail.on_end is None


def loaded(box):
    row, grid = box.children
    _, said = row.children
    wait_until(lambda: said.value and "Loading" not in said.value)
    return said.value, grid.columns


def test_the_record_is_shown_as_a_table(run):
    said, columns = loaded(widgets.database_widget(run))
    assert "3 rows" in said
    assert columns.row(1)["state"] == "ready"


def test_the_queue_is_shown_as_a_table(run):
    said, columns = loaded(widgets.queue_widget(run.scheduler))
    assert "0 jobs" in said
    assert len(columns) == 0


@pytest.mark.filterwarnings("ignore:.*do not exist")
def test_results_are_shown_as_a_table(run, tmp_path):
    frame = pd.DataFrame({"x": [1.0, None], "name": ["a", "b"]})
    frame.to_csv(tmp_path / "dataframe.0.csv")
    said, _ = loaded(widgets.results_widget(["nothing.pickle"], "csv"))
    assert said
    columns, _ = load_dataframe(frame)
    assert [columns.row(i) for i in range(2)] == [{"x": 1.0, "name": "a"}, {"x": None, "name": "b"}]


def test_programs_get_the_figures_of_a_run(run, tmp_path):
    (tmp_path / "0.pickle").write_bytes(b"12345")
    info = RunManagerInfo.from_run_manager(run)
    assert info == RunManagerInfo(
        status="not yet started",
        n_running=0,
        n_pending=0,
        n_done=0,
        n_failed=0,
        n_unscheduled=3,
        elapsed_time=timedelta(),
        total_data_size=5,
    )
