"""The table of learners reads what has changed, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.widgets.tables import (
    Column,
    Columns,
    FollowedJobs,
    FollowedLearners,
    columns_of_rows,
)
from tests.widgets.fake_run import FakeRun

COLUMNS = (Column("state", "state", "state"), Column("n", "points", "integer"))


class Page:
    """What a browser makes of the messages."""

    def __init__(self, whole):
        self.take(whole)

    def take(self, whole):
        self.n_rows = whole["n_rows"]
        self.kinds = [c["kind"] for c in whole["columns"]]
        self.texts = [list(c["texts"]) for c in whole["columns"]]
        kinds = zip(whole["columns"], self.kinds, strict=True)
        self.data = [np.frombuffer(c["data"], _dtype(kind)).copy() for c, kind in kinds]

    def change(self, message, buffers):
        rows = np.frombuffer(buffers[0], "i4")
        for i, buffer in enumerate(buffers[1:]):
            self.texts[i] += message["texts"][i]
            self.data[i][rows] = np.frombuffer(buffer, _dtype(self.kinds[i]))

    def rows(self):
        return [
            tuple(self._shown(i, row) for i in range(len(self.kinds))) for row in range(self.n_rows)
        ]

    def _shown(self, i, row):
        value = self.data[i][row]
        if self.kinds[i] in ("state", "text"):
            return self.texts[i][value] or None
        return None if np.isnan(value) else float(value)


def _dtype(kind):
    return "i4" if kind in ("state", "text") else "f8"


rows = st.tuples(
    st.none() | st.sampled_from(["ready", "running", "done"]), st.none() | st.integers(0, 9)
)


@given(st.lists(st.lists(st.tuples(st.integers(0, 19), rows), max_size=25), max_size=6))
def test_a_page_that_gets_all_messages_shows_the_table(batches):
    table = Columns(COLUMNS, 20)
    expected = [(None, None)] * 20
    page = Page(table.whole())
    for batch in batches:
        for row, values in batch:
            table.set_row(row, values)
            expected[row] = values
        message = table.changes()
        if message is not None and message[0].get("whole"):
            page.take(table.whole())
        elif message is not None:
            page.change(*message)
    assert page.rows() == expected


def test_nothing_travels_when_nothing_changes():
    table = Columns(COLUMNS, 5)
    assert table.changes() is None
    table.set_row(1, ["ready", 3])
    assert table.changes() is not None
    assert table.changes() is None


def test_a_change_of_one_row_is_small():
    table = Columns(COLUMNS, 10_000)
    table.whole()
    table.set_row(77, ["running", 12])
    message, buffers = table.changes()
    assert message == {"sequence": 1, "texts": [["running"], []]}
    assert sum(buffer.nbytes for buffer in buffers) == 16


def test_a_change_of_most_rows_sends_the_whole():
    table = Columns(COLUMNS, 10)
    for row in range(5):
        table.set_row(row, ["running", 12])
    assert table.changes() == ({"whole": True}, [])


def test_a_row_can_be_looked_at():
    table = Columns(COLUMNS, 2)
    table.set_row(1, ["ready", None])
    assert table.row(1) == {"state": "ready", "n": None}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2.5], "number"),
        ([None, 3], "number"),
        (["a", 1], "text"),
        ([True], "text"),
        ([], "text"),
    ],
)
def test_columns_are_guessed_from_their_values(values, kind):
    table = columns_of_rows([{"x": value} for value in values], ["x"])
    assert [column.kind for column in table.columns] == [kind]
    assert len(table) == len(values)


def test_a_row_says_what_its_job_has_told(tmp_path):
    run = FakeRun(tmp_path)
    job = run.job(1)
    job.status(npoints=25, latest_loss=0.5, cpu_usage=80.0, mem_usage=1.5)
    table = FollowedLearners(run.view)
    table.update()
    row = table.columns.row(1)
    assert (row["state"], row["npoints"], row["loss"], row["progress"]) == (
        "running",
        25,
        0.5,
        0.25,
    )
    assert (row["job"], row["node"], row["attempts"]) == ("1", "node1", 1)
    assert (row["cpu"], row["memory"]) == (80.0, 1.5)
    assert table.columns.row(0)["state"] == "ready"


def test_errors_are_shown_in_one_line(tmp_path):
    run = FakeRun(tmp_path, max_fails=1)
    run.job(0).failed(error="ValueError:\n no value", traceback="...")
    table = FollowedLearners(run.view)
    table.update()
    assert table.columns.row(0)["error"] == "ValueError: no value"
    assert table.columns.row(0)["state"] == "failed"


def test_only_what_has_changed_is_read_and_travels(tmp_path):
    run = FakeRun(tmp_path, n_learners=5000)
    table = FollowedLearners(run.view)
    table.update()
    table.columns.whole()
    job = run.job(4321)
    job.status(npoints=1)
    table.update()
    message, buffers = table.columns.changes()
    assert "running" in message["texts"][0]
    assert sum(buffer.nbytes for buffer in buffers) < 100


def test_nonsense_from_a_job_is_shown_as_nothing(tmp_path):
    run = FakeRun(tmp_path)
    run.job(0).status(npoints="many", latest_loss=True, cpu_usage=None)
    table = FollowedLearners(run.view)
    table.update()
    row = table.columns.row(0)
    assert (row["npoints"], row["loss"], row["cpu"]) == (None, None, None)


def test_a_run_with_another_state_is_followed(tmp_path):
    run, other = FakeRun(tmp_path), FakeRun(tmp_path)
    table = FollowedLearners(run.view)
    table.update()
    other.job(2)
    run.database_manager, run.monitor = other.database_manager, other.monitor
    table.update()
    assert table.columns.row(2)["state"] == "running"


def test_jobs_are_read_anew_when_they_have_changed(tmp_path):
    run = FakeRun(tmp_path)
    run.job(1)
    table = FollowedJobs(run.view)
    table.update()
    row = table.columns.row(0)
    assert (row["job_id"], row["job_name"], row["learner"]) == ("1", "sweep-1", 1)
    table.columns.whole()
    table.update()
    assert table.columns.changes() is None
