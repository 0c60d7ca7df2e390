"""Calls travel as bytes, and so do their outcomes."""

from __future__ import annotations

import threading
import traceback

import cloudpickle
import pytest

from adaptive_scheduler._common.by_value import SourceFiles
from adaptive_scheduler.errors import CallError
from adaptive_scheduler.futures.calls import Call, Calls, outcome_of


def call(function, *args, **kwargs):
    """Make a call as a worker does, and read its outcome as the executor does."""
    files = SourceFiles()
    calls = Calls([files.dumps((function,))], files)
    return outcome_of(calls(Call(0, files.dumps((args, kwargs)))))


def test_a_call_returns_what_its_function_returns():
    assert call(divmod, 7, 2) == (True, (3, 1))
    assert call(int, "ff", base=16) == (True, 255)


def test_functions_are_told_apart():
    calls = Calls([cloudpickle.dumps((abs,)), cloudpickle.dumps((str,))], SourceFiles())
    arguments = cloudpickle.dumps(((-1,), {}))
    assert [outcome_of(calls(Call(n, arguments)))[1] for n in (0, 1)] == [1, "-1"]


def test_a_function_is_unpickled_once_for_many_calls():
    counter = iter(range(10))
    calls = Calls([cloudpickle.dumps((lambda: next(counter),))], SourceFiles())
    arguments = cloudpickle.dumps(((), {}))
    assert [outcome_of(calls(Call(0, arguments)))[1] for _ in range(3)] == [0, 1, 2]


def test_an_exception_is_itself_and_knows_where_it_was_raised():
    def broken(x):
        raise KeyError(x)

    has_returned, error = call(broken, "missing")
    assert not has_returned
    assert isinstance(error, KeyError)
    assert error.args == ("missing",)
    text = "".join(traceback.format_exception(error))
    assert "in broken" in text
    assert "raise KeyError(x)" in text
    assert "in __call__" not in text


def test_an_end_of_the_process_is_an_exception_too():
    has_returned, error = call(exit, 3)
    assert not has_returned
    assert isinstance(error, SystemExit)


class DemandingError(Exception):
    """Can be pickled, but not unpickled."""

    def __reduce__(self):
        return int, ("no number",)


def test_an_exception_that_cannot_travel_is_told_in_words():
    def broken():
        raise DemandingError("1 and 2")

    has_returned, error = call(broken)
    assert not has_returned
    assert type(error) is CallError
    assert "DemandingError: 1 and 2" in str(error)


def test_a_result_that_cannot_travel_is_an_error_of_this_call():
    has_returned, error = call(threading.Lock)
    assert not has_returned
    assert isinstance(error, CallError)
    assert "lock" in str(error)


def test_an_outcome_that_cannot_be_read_here_is_an_error():
    has_returned, error = outcome_of(b"torn")
    assert not has_returned
    assert isinstance(error, CallError)


@pytest.mark.parametrize("value", [None, b"", (1, [2, {"three": 4.0}]), lambda: 1])
def test_any_value_arrives(value):
    has_returned, arrived = call(lambda: value)
    assert has_returned
    assert arrived() == 1 if callable(value) else arrived == value
