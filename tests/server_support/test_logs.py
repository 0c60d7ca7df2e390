"""What jobs have logged as a table, and jobs whose output matches."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from adaptive_scheduler.server_support import logs_with_string_or_condition, parse_log_files
from adaptive_scheduler.server_support.logs import matches


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sweep-1-12.log"


def add(path, text):
    with path.open("ab") as file:
        file.write(text.encode(errors="surrogateescape"))


# Progress.


def status(learner, npoints, **fields):
    return {"event": "current status", "learner": learner, "npoints": npoints, **fields}


def database(rows, figures=None, queue=None):
    """Return what these functions want of a database manager."""
    return SimpleNamespace(
        record=SimpleNamespace(refresh=lambda: None),
        as_dicts=lambda: rows,
        handler=SimpleNamespace(figures=figures or {}),
        reconciler=SimpleNamespace(queue=queue or {}),
    )


def row(path, **fields):
    usual = {
        "job_id": "12",
        "job_name": "sweep-1",
        "log_fname": str(path),
        "output_logs": [str(path.with_suffix(".out"))],
        "is_pending": True,
        "state": "running",
    }
    return {**usual, **fields}


STAMP = "2024-05-01 12:00:0"


@pytest.fixture
def running(path):
    """Return a database of three learners: one runs, one ran, one has never run."""
    add(path, json.dumps(status(0, 10, timestamp=f"{STAMP}1")) + "\n")
    add(path, json.dumps(status(0, 20, timestamp=f"{STAMP}2")) + "\n")
    add(path, json.dumps(status(1, 5, timestamp=f"{STAMP}3")) + "\n")
    return database(
        [
            row(path),
            row(path, is_pending=False, state="done"),
            row(path, job_id=None, log_fname=None, is_pending=False, state="ready"),
        ],
        queue={"12": {"state": "R"}},
    )


def test_the_table_has_the_last_line_of_each_learner(running):
    table = parse_log_files(running, None)
    assert list(table["npoints"]) == [20, 5]
    assert list(table["learner_state"]) == ["running", "done"]
    assert table["state"].iloc[0] == "R"
    assert table["state"].isna().iloc[1]
    assert table["timestamp"].iloc[0].second == 2


def test_the_table_may_have_all_lines(running):
    table = parse_log_files(running, None, only_last=False)
    assert list(table["npoints"]) == [10, 20, 5]


def test_what_the_manager_was_told_last_needs_no_file(running):
    running.handler.figures[0] = {"npoints": 33, "timestamp": f"{STAMP}9"}
    assert list(parse_log_files(running, None)["npoints"]) == [33, 5]
    assert list(parse_log_files(running, None, only_last=False)["npoints"]) == [10, 20, 5]


def test_before_the_first_job_the_table_is_empty():
    assert len(parse_log_files(database([]), None)) == 0


# Errors.


def test_a_text_matches_a_line_and_a_function_all_lines():
    lines = ["all is well", "srun: error: node1"]
    assert matches("srun: error:", lines)
    assert not matches("well srun", lines)
    assert matches(lambda all_lines: len(all_lines) == 2, lines)
    assert not matches("", [])


def test_jobs_with_matching_files_are_found_by_name(path):
    output = path.with_suffix(".out")
    add(output, "srun: error: node1\n")
    add(path, "all is well\n")
    rows = [row(path), row(path, job_name="sweep-2", is_pending=False), row(path, log_fname=None)]
    found = logs_with_string_or_condition("srun: error:", database(rows))
    assert found == [("sweep-1", [str(output)])] * 2
    found = logs_with_string_or_condition(bool, database(rows[:1]))
    assert found == [("sweep-1", [str(output), str(path)])]
    assert logs_with_string_or_condition("no such thing", database(rows)) == []
