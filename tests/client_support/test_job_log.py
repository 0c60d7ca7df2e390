"""The log of a job: each event one line of JSON."""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
from datetime import datetime

import pytest
import structlog

from adaptive_scheduler.client_support import add_log_file_handler, args_to_env
from adaptive_scheduler.client_support.job_log import log, note, note_fields


@pytest.fixture
def path(tmp_path):
    return tmp_path / "logs" / "sweep-1.log"


@pytest.fixture
def handler(path):
    handler = add_log_file_handler(path)
    yield handler
    handler.close()


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON.")


def lines(path):
    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


@pytest.mark.usefixtures("handler")
def test_an_event_is_a_line_with_its_fields(path):
    before = datetime.now()  # noqa: DTZ005  as in the log
    note("begins", learner=3, attempt=1)
    (line,) = lines(path)
    timestamp = datetime.fromisoformat(line.pop("timestamp"))
    assert before <= timestamp <= datetime.now()  # noqa: DTZ005
    assert line == {"level": "info", "event": "begins", "learner": 3, "attempt": 1}


@pytest.mark.usefixtures("handler")
def test_fields_may_have_names_that_python_does_not(path):
    note_fields("current status", {"npoints/s": 1.5, "cputimes.user": 2})
    (line,) = lines(path)
    assert (line["npoints/s"], line["cputimes.user"]) == (1.5, 2)


@pytest.mark.usefixtures("handler")
def test_whatever_is_in_a_field_it_is_one_line(path):
    odd = {"text": 'two\nlines "quoted"', "path": os.fsdecode(b"\xff"), "thing": object()}
    note("odd", **odd)
    (line,) = lines(path)
    assert line["text"] == odd["text"]
    assert line["path"] == odd["path"]
    assert line["thing"].startswith("<object object at")


@pytest.mark.usefixtures("handler")
def test_figures_that_are_no_numbers_are_null(path):
    note_fields("current status", {"loss": math.inf, "speed": math.nan})
    (line,) = lines(path)
    assert (line["loss"], line["speed"]) == (None, None)


@pytest.mark.usefixtures("handler")
def test_figures_inside_of_fields_are_null_as_well(path):
    note("nested", sizes=[1.0, math.nan], by_core={"a": math.inf, (0, 1): 1})
    (line,) = lines(path)
    assert (line["sizes"], line["by_core"]) == ([1.0, None], {"a": None})


@pytest.mark.usefixtures("handler")
def test_an_exception_is_logged_with_its_traceback(path):
    try:
        divmod(7, 0)
    except ZeroDivisionError:
        log.exception("the job itself failed")
    (line,) = lines(path)
    assert (line["level"], line["event"]) == ("error", "the job itself failed")
    assert "divmod(7, 0)\n" in line["traceback"]


@pytest.mark.usefixtures("handler")
def test_warnings_say_so(path):
    note("the manager does not answer", level=logging.WARNING)
    (line,) = lines(path)
    assert line["level"] == "warning"


def test_a_job_that_is_started_again_adds_to_its_log(path):
    for number in range(2):
        handler = add_log_file_handler(path)
        note("started", restarts=number)
        handler.close()
    assert [line["restarts"] for line in lines(path)] == [0, 1]


def test_a_log_that_is_closed_gets_no_more_lines(path):
    handler = add_log_file_handler(path)
    note("first")
    handler.close()
    note("second")
    assert [line["event"] for line in lines(path)] == ["first"]


# What others say.


@pytest.mark.usefixtures("handler")
def test_what_a_library_logs_stands_in_the_log_as_well(path):
    logging.getLogger("solver.grid").warning("%d cells", 12, extra={"depth": 3, "size": math.nan})
    (line,) = lines(path)
    del line["timestamp"]
    assert line == {
        "level": "warning",
        "event": "12 cells",
        "logger": "solver.grid",
        "depth": 3,
        "size": None,
    }


@pytest.mark.usefixtures("handler")
def test_an_exception_that_a_library_logs_comes_with_its_traceback(path):
    try:
        divmod(7, 0)
    except ZeroDivisionError:
        logging.getLogger("solver").exception("no grid")
    (line,) = lines(path)
    assert (line["level"], line["event"]) == ("error", "no grid")
    assert "divmod(7, 0)\n" in line["traceback"]


@pytest.mark.usefixtures("handler")
def test_a_library_is_as_loud_as_its_level_says(path):
    quiet, loud = logging.getLogger("solver.quiet"), logging.getLogger("solver.loud")
    loud.setLevel(logging.DEBUG)
    for logger in (quiet, loud):
        logger.debug("cells")
    assert [line["logger"] for line in lines(path)] == ["solver.loud"]


@pytest.mark.usefixtures("handler")
def test_settings_of_the_users_code_lose_no_event(path, monkeypatch):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers.copy())
    logging.basicConfig(force=True)
    structlog.configure(processors=[], cache_logger_on_first_use=False)
    try:
        note("begins", learner=3)
    finally:
        structlog.reset_defaults()
    (line,) = lines(path)
    assert (line["event"], line["learner"]) == ("begins", 3)


def test_a_log_that_is_closed_hears_of_no_library_any_more(path):
    before = logging.getLogger().handlers.copy()
    add_log_file_handler(path).close()
    assert logging.getLogger().handlers == before
    logging.getLogger("solver").warning("late")
    assert lines(path) == []


def test_a_full_disk_is_no_error_of_what_is_logged(capsys):
    handler = add_log_file_handler("/dev/full")
    note("begins", learner=3)
    logging.getLogger("solver").warning("cells")
    handler.close()
    assert capsys.readouterr().err.count("No space left on device\n") == 2


def test_arguments_are_put_into_the_environment(monkeypatch):
    arguments = argparse.Namespace(log_fname="a b.log", n_cores=4, profile=None)
    for name in ("LOG_FNAME", "N_CORES", "PROFILE"):
        monkeypatch.delenv(f"ADAPTIVE_SCHEDULER_{name}", raising=False)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    args_to_env(arguments)
    assert os.environ["ADAPTIVE_SCHEDULER_LOG_FNAME"] == "a b.log"
    assert os.environ["ADAPTIVE_SCHEDULER_N_CORES"] == "4"
    assert "ADAPTIVE_SCHEDULER_PROFILE" not in os.environ
    args_to_env(arguments, prefix="MY_")
    assert os.environ["MY_N_CORES"] == "4"
