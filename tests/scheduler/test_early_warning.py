"""A job learns that its time is nearly over, early enough to save."""

from __future__ import annotations

import pytest

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.scheduler.early_warning import check_warning, warning_time


@pytest.mark.parametrize(
    ("limit", "wanted", "seconds"),
    [
        (36_000, None, 60),
        (100, None, 10),
        (5, None, 0),
        (None, None, 0),
        (36_000, 300, 300),
        (36_000, 0, 0),
        (None, 30.9, 30),
    ],
)
def test_a_warning_comes_a_minute_before_the_end_but_costs_short_jobs_little(
    limit, wanted, seconds
):
    assert warning_time(limit, wanted) == seconds


@pytest.mark.parametrize("seconds", [None, 0, 60, 0.5, 65_535])
def test_these_are_warnings(seconds):
    check_warning(seconds)


@pytest.mark.parametrize("seconds", [-1, 65_536, True, "60", float("nan")])
def test_these_are_none_and_the_error_says_so(seconds):
    with pytest.raises(InvalidInputError, match="signal_before_end"):
        check_warning(seconds)
