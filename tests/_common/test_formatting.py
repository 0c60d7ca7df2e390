"""Numbers, sizes and spans of time are written in one way everywhere."""

from __future__ import annotations

from datetime import timedelta

import pytest

from adaptive_scheduler._common.formatting import (
    counted,
    first_of,
    percent,
    short_number,
    size,
    span,
)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "unknown"),
        (0, "0 s"),
        (59.6, "1 min 00 s"),
        (3723, "1 h 02 min"),
        (90_000, "1 d 1 h"),
        (timedelta(days=400), "400 d 0 h"),
    ],
)
def test_spans_of_time_have_two_units(seconds, words):
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"),
        (0.01234, "0.0123"),
        (1e-5, "1.00e-5"),
        (1234.5, "1,234"),
        (1e7, "1.00e7"),
        (float("inf"), "∞"),
    ],
)
def test_numbers_have_the_digits_that_matter(value, words):
    assert short_number(value) == words


def test_sizes_have_a_unit():
    assert [size(n) for n in (12, 1500, 2_500_000)] == ["12 B", "1.5 kB", "2.5 MB"]


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (timedelta(), "0 s"),
        (timedelta(seconds=59.4), "59 s"),
        (timedelta(minutes=3, seconds=59), "3 min"),
        (timedelta(hours=3, minutes=20), "3 h 20 min"),
        (timedelta(days=2, hours=5), "2 d 5 h"),
        (timedelta(seconds=-5), "0 s"),
    ],
)
def test_estimates_leave_seconds_out(estimate, words):
    assert span(estimate, is_rough=True) == words


def test_things_are_counted():
    assert [counted(n, "job") for n in (0, 1, 1234)] == ["0 jobs", "1 job", "1,234 jobs"]


def test_percents_are_whole():
    assert [percent(value) for value in (None, 0.4, 98.2)] == ["\N{EN DASH}", "0 %", "98 %"]


@pytest.mark.parametrize(
    ("n", "text"), [(0, ""), (2, "0, 1"), (3, "0, 1, 2"), (1503, "0, 1, 2 and 1,500 more")]
)
def test_of_many_things_the_first_are_named_and_the_others_counted(n, text):
    assert first_of([str(i) for i in range(n)], 3) == text
