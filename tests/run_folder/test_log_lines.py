"""The lines of a job's log tell how far a learner is, and are shown as people read them."""

from __future__ import annotations

import json

import pytest

from adaptive_scheduler.run_folder.log_lines import last_status, readable, status_lines


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sweep-1-12.log"


def add(path, text):
    with path.open("ab") as file:
        file.write(text.encode(errors="surrogateescape"))


def status(learner, npoints, second=0, **fields):
    line = {
        "timestamp": f"2026-11-22 12:00:{second:02}.5",
        "level": "info",
        "event": "current status",
        "learner": learner,
        "npoints": npoints,
        **fields,
    }
    return json.dumps(line) + "\n"


# Progress.


def test_the_lines_of_one_learner_are_found_among_all_others(path):
    for line in (
        status(1, 10).rstrip(),
        status(2, 20).rstrip(),
        json.dumps({"event": "begins", "learner": 1}),
        "printed by somebody else",
        '{"torn": ',
        "3",
        "null",
        '["current status", 1]',
        "odd \udcff",
        status(1, 30).rstrip(),
    ):
        add(path, f"{line}\n")
    assert [line["npoints"] for line in status_lines(path, 1)] == [10, 30]


def test_a_log_that_is_not_there_tells_no_progress(path):
    assert list(status_lines(path, 1)) == []


# As people read them.


def test_json_becomes_words():
    line = status(3, 12, latest_loss=0.012345)
    assert readable(line) == "12:00:00  current status  learner 3  npoints 12  latest_loss 0.0123"


def test_a_traceback_gets_its_lines_back():
    line = json.dumps({"event": "failed", "level": "error", "traceback": "Traceback\n  File x\nE"})
    assert readable(line) == "ERROR  failed\nTraceback\n  File x\nE"


@pytest.mark.parametrize("line", ["plain", "{torn", "{}", '{"a": 1}', "[1]"])
def test_what_is_no_line_of_ours_stays_as_it_is(line):
    assert readable(line) == line


def test_lines_about_other_learners_are_left_out():
    assert readable(status(3, 1), learner=4) is None
    assert readable(status(4, 1), learner=4) == "12:00:00  current status  npoints 1"


def test_the_last_status_of_a_learner_is_found_near_the_end_of_the_log(path):
    assert last_status(path, 1) == {}
    add(path, status(1, 10) + status(1, 20) + status(2, 30))
    add(path, '{"event": "saved", "learner": 1}\n' * 10 + '{"torn')
    assert last_status(path, 1)["npoints"] == 20
    assert last_status(path, 2)["npoints"] == 30
    assert last_status(path, 3) == {}
