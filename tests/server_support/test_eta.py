"""How long a run will take is told where it can be known, and nowhere else."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.learners.goals import smart_goal
from adaptive_scheduler.server_support.eta import (
    Report,
    finish_time,
    points_needed,
    share_done,
    time_left,
)

NOW = 1_000_000.0
NAN = math.nan


def goal(what):
    return smart_goal(what, [])


def test_a_number_of_points_says_itself_how_far_it_is():
    report = Report(npoints=50, rate=10.0)
    assert share_done(goal(200), report) == 0.25
    assert finish_time(goal(200), report, started=NOW - 5, seen=NOW) == NOW + 15


def test_a_sequence_ends_with_its_last_point():
    report = Report(npoints=30, n_possible=40, rate=2.0)
    assert share_done(goal(None), report) == 0.75
    assert points_needed(goal(1000), report) == 40
    assert finish_time(goal(None), report, started=NOW - 15, seen=NOW) == NOW + 5


def test_a_loss_that_falls_is_followed_to_its_goal():
    report = Report(npoints=100, loss=0.1, earlier=(10, 1.0), rate=9.0)  # one over the points
    assert points_needed(goal(0.01), report) == pytest.approx(1000)
    assert share_done(goal(0.01), report) == pytest.approx(0.1)
    left = finish_time(goal(0.01), report, started=NOW, seen=NOW)
    assert left == pytest.approx(NOW + 100)


@pytest.mark.parametrize(
    "report",
    [
        Report(),
        Report(npoints=10),
        Report(npoints=10, loss=1.0),
        Report(npoints=10, loss=1.0, earlier=(5, 1.0)),
        Report(npoints=10, loss=1.0, earlier=(5, 0.5)),
        Report(npoints=10, loss=1.0, earlier=(10, 2.0)),
        Report(npoints=10, loss=1.0, earlier=(5, math.inf)),
        Report(npoints=10, loss=1.0, earlier=(9, 1.0 + 1e-9)),
    ],
)
def test_a_loss_that_does_not_fall_tells_nothing(report):
    assert share_done(goal(0.01), report) is None
    assert finish_time(goal(0.01), report, started=NOW, seen=NOW) is None


def test_a_loss_that_is_reached_needs_no_more_points():
    assert share_done(goal(0.01), Report(npoints=10, loss=0.001)) == 1.0


def test_a_function_of_the_users_tells_nothing():
    report = Report(npoints=10, loss=1.0, rate=1.0, earlier=(5, 2.0))
    assert share_done(goal(lambda learner: learner.npoints > 20), report) is None


def test_a_time_comes_without_any_report():
    at = datetime.fromtimestamp(NOW + 60, UTC)
    assert finish_time(goal(at), Report(), started=NOW - 10, seen=NOW) == NOW + 60
    span = goal(timedelta(minutes=1))
    assert finish_time(span, Report(), started=NOW - 10, seen=NOW) == NOW + 50


def left(finishes, started=None, *, n_unstarted=0, mean_duration=None):
    started = [NOW - 10.0] * len(finishes) if started is None else started
    return time_left(
        finishes, started, n_unstarted=n_unstarted, mean_duration=mean_duration, now=NOW
    )


def test_nothing_left_takes_no_time():
    assert left([]) == timedelta()


def test_nobody_at_work_is_unknown():
    assert left([], n_unstarted=3, mean_duration=10) is None


def test_the_last_learner_in_a_job_decides():
    assert left([NOW + 5, NOW + 30]) == timedelta(seconds=30)


def test_learners_that_wait_take_as_long_as_those_that_are_done():
    assert left([NOW + 10, NOW + 10], n_unstarted=4, mean_duration=60) == timedelta(seconds=130)


def test_learners_that_wait_take_as_long_as_those_that_are_under_way_if_none_is_done():
    assert left([NOW + 10], n_unstarted=3) == timedelta(seconds=10 + 3 * 20)


def test_learners_that_tell_nothing_take_as_long_as_those_that_are_done():
    assert left([NAN], mean_duration=60) == timedelta(seconds=50)
    assert left([NAN], [NOW - 100.0], mean_duration=60) == timedelta(seconds=10)


def test_what_nobody_can_know_is_unknown():
    assert left([NAN]) is None
    assert left([NAN, NAN], n_unstarted=5) is None
    assert left([math.inf]) is None


times = st.floats(NOW - 1e6, NOW + 1e6) | st.just(NAN)


@given(
    st.lists(st.tuples(times, st.floats(NOW - 1e6, NOW)), max_size=20),
    st.integers(0, 10**6),
    st.none() | st.floats(0, 1e6),
)
def test_an_answer_is_a_time_that_is_not_before_now(learners, n_unstarted, mean_duration):
    answer = left(
        [f for f, _ in learners],
        [s for _, s in learners],
        n_unstarted=n_unstarted,
        mean_duration=mean_duration,
    )
    assert answer is None or answer >= timedelta()


@given(st.floats(0, 1e300), st.floats(0, 1e300), st.integers(1, 10**9), st.integers(1, 10**9))
def test_no_loss_leads_to_a_number_that_is_none(loss, earlier, npoints, more):
    report = Report(npoints=npoints + more, loss=loss, earlier=(npoints, earlier), rate=1.0)
    share = share_done(goal(1e-3), report)
    assert share is None or 0 <= share <= 1
