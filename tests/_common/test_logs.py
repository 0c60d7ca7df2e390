import io
import json
import logging

import pytest

from adaptive_scheduler._common.logs import log_exception


def fail():
    raise ValueError("boom")


def caught():
    try:
        fail()
    except ValueError as error:
        return error


@pytest.fixture
def log():
    """Make a logger of the standard library that writes to a string."""
    log = logging.getLogger("tests.test_logs")
    handler = logging.StreamHandler(io.StringIO())
    log.addHandler(handler)
    log.propagate = False
    yield log
    log.removeHandler(handler)


def text(log):
    return log.handlers[0].stream.getvalue()


def test_an_exception_is_logged_with_its_traceback_long_after_it_was_caught(log):
    log_exception(log, "could not save", caught())
    lines = text(log).splitlines()
    assert lines[0] == "could not save"
    assert lines[-1] == "ValueError: boom"
    assert 'raise ValueError("boom")' in text(log)
    assert "/logs.py" not in text(log)


def test_an_exception_is_logged_while_it_is_being_handled(log):
    try:
        fail()
    except ValueError as error:
        log_exception(log, "could not save", error)
    assert text(log).count("ValueError: boom") == 1


def test_an_exception_that_was_never_raised_is_logged(log):
    log_exception(log, "could not save", ValueError("made by hand"))
    assert text(log) == "could not save\nValueError: made by hand\n"


def test_logging_does_not_change_the_exception(log):
    error = caught()
    before = error.__traceback__
    log_exception(log, "could not save", error)
    assert error.__traceback__ is before


def test_the_level_is_error(log):
    records = []
    log.addFilter(lambda record: records.append(record) or True)
    log_exception(log, "could not save", caught())
    assert [record.levelno for record in records] == [logging.ERROR]


def test_a_logger_that_takes_only_a_message_will_do():
    class Log:
        def exception(self, msg):
            self.said = msg

    log = Log()
    log_exception(log, "could not save", caught())
    assert log.said == "could not save"


def test_without_a_method_for_exceptions_the_traceback_is_part_of_the_message():
    class Log:
        def error(self, msg):
            self.said = msg

    log = Log()
    log_exception(log, "could not save", caught())
    assert log.said.startswith("could not save\nTraceback")
    assert log.said.endswith("ValueError: boom")


def test_a_structlog_logger_gets_the_exception():
    structlog = pytest.importorskip("structlog")
    out = io.StringIO()
    processors = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    log = structlog.wrap_logger(structlog.PrintLogger(out), processors=processors)
    log_exception(log, "could not save", caught())
    event = json.loads(out.getvalue())
    assert event["event"] == "could not save"
    assert event["exception"].endswith("ValueError: boom")
