"""The jobs' logs: the last lines, what is new, and all of it as a table."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adaptive_scheduler.server_support import logs
from adaptive_scheduler.server_support.logs import (
    LogReader,
    last_lines,
    logs_with_string_or_condition,
    matches,
    parse_log_files,
    status_lines,
)

in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sweep-1-12.log"


def add(path, text):
    with path.open("ab") as file:
        file.write(text.encode(errors="surrogateescape"))


# The last lines.


@pytest.mark.parametrize(
    ("text", "n_lines", "last"),
    [
        ("", 5, ""),
        ("one\ntwo\nthree\n", 2, "two\nthree"),
        ("one\ntwo\nthree", 2, "two\nthree"),
        ("one\ntwo\nthree\n", 9, "one\ntwo\nthree"),
        ("one\n\n\n", 2, "\n"),
        ("one\ntwo\n", 0, ""),
        ("10 %\r20 %\r30 %\rend\n", 2, "30 %\nend"),
        ("fine\nodd \udcff\n", 1, "odd \ufffd"),
    ],
)
def test_the_last_lines_are_shown(path, text, n_lines, last):
    add(path, text)
    assert last_lines(path, n_lines) == last


@in_one_folder
@given(
    lines=st.lists(st.text("ab é", max_size=30), max_size=30),
    n_lines=st.integers(1, 40),
    block=st.integers(1, 50),
)
def test_they_are_the_same_however_they_are_read(path, lines, n_lines, block):
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "_BLOCK", block)
        assert last_lines(path, n_lines).split("\n") == (
            "\n".join(lines).splitlines()[-n_lines:] or [""]
        )


def test_output_that_is_one_endless_line_is_not_read_whole(path):
    with path.open("wb") as file:
        file.truncate(1 << 33)  # takes up no room
        file.seek(0, os.SEEK_END)
        file.write(b"\nthe end\n")
    last = last_lines(path, 500)
    assert last.endswith("\nthe end")
    assert len(last) < 2 << 20


def test_a_file_that_is_not_there_has_no_lines(path):
    assert last_lines(path, 5) == ""


# What is new.


def test_each_line_is_read_once(path):
    reader = LogReader()
    assert reader.new_lines(path) == []
    add(path, "one\ntwo\n")
    assert reader.new_lines(path) == ["one", "two"]
    assert reader.new_lines(path) == []
    add(path, "three\n")
    assert reader.new_lines(path) == ["three"]


def test_a_line_is_read_when_it_is_whole(path):
    reader = LogReader()
    add(path, "one\ntw")
    assert reader.new_lines(path) == ["one"]
    add(path, "o\n")
    assert reader.new_lines(path) == ["two"]


def test_a_file_that_begins_anew_is_read_anew(path):
    reader = LogReader()
    add(path, "one\ntwo\n")
    reader.new_lines(path)
    path.write_text("1\n")
    assert reader.new_lines(path) == ["1"]


def test_another_file_under_the_same_name_is_read_from_its_start(path, tmp_path):
    reader = LogReader()
    add(path, "one\n")
    reader.new_lines(path)
    (tmp_path / "new").write_text("1\n2\n3\n")
    (tmp_path / "new").replace(path)
    assert reader.new_lines(path) == ["1", "2", "3"]


def test_files_are_read_independently_and_can_be_forgotten(path, tmp_path):
    reader, other = LogReader(), tmp_path / "other"
    add(path, "one\n")
    add(other, "1\n")
    assert (reader.new_lines(path), reader.new_lines(other)) == (["one"], ["1"])
    reader.forget(path)
    reader.forget(path)
    assert (reader.new_lines(path), reader.new_lines(other)) == (["one"], [])


# Progress.


def status(learner, npoints, **fields):
    return {"event": "current status", "learner": learner, "npoints": npoints, **fields}


def test_the_lines_of_one_learner_are_found_among_all_others(path):
    for line in (
        json.dumps(status(1, 10)),
        json.dumps(status(2, 20)),
        json.dumps({"event": "begins", "learner": 1}),
        "printed by somebody else",
        '{"torn": ',
        "3",
        "null",
        '["current status", 1]',
        "odd \udcff",
        json.dumps(status(1, 30)),
    ):
        add(path, f"{line}\n")
    assert [line["npoints"] for line in status_lines(path, 1)] == [10, 30]


def test_a_log_that_is_not_there_tells_no_progress(path):
    assert list(status_lines(path, 1)) == []


def database(rows, figures=None, queue=None):
    """Return what these functions want of a database manager."""
    return SimpleNamespace(
        refresh=lambda: None,
        as_dicts=lambda: rows,
        handler=SimpleNamespace(figures=figures or {}),
        queue=queue or {},
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


def test_lines_that_end_with_a_carriage_return_are_read_once(tmp_path):
    path, reader = tmp_path / "job.out", LogReader()
    path.write_bytes(b"10%\r20%\r3")
    assert reader.new_lines(path) == ["10%", "20%"]
    with path.open("ab") as file:
        file.write(b"0%\r")
    assert reader.new_lines(path) == ["30%"]
    assert reader.new_lines(path) == []


def test_a_line_without_an_end_is_not_read_for_ever(tmp_path):
    path, reader = tmp_path / "job.out", LogReader()
    path.write_bytes(b"." * (1 << 21))
    assert [len(line) for line in reader.new_lines(path)] == [1 << 21]
    assert reader.new_lines(path) == []
