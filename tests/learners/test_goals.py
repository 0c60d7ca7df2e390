"""A goal means the same for every kind of learner, and travels to the job."""

from __future__ import annotations

import math
import operator
import pickle
import re
import subprocess
import sys
import time
import warnings
from datetime import UTC, datetime, timedelta, timezone
from functools import partial

import adaptive
import numpy as np
import pytest

from adaptive_scheduler.errors import InvalidGoalError
from adaptive_scheduler.learners.goals import check_goal, smart_goal


def line():
    return adaptive.Learner1D(math.sin, (-1, 1))


def sequence(n=4):
    return adaptive.SequenceLearner(abs, range(n))


def integral():
    return adaptive.IntegratorLearner(math.exp, (0, 1), tol=1e-6)


def saver(learner):
    return adaptive.DataSaver(learner, operator.itemgetter("y"))


def balancing(*learners):
    return adaptive.BalancingLearner(list(learners))


def computed(learner, n):
    """Evaluate `n` points of `learner`."""
    if isinstance(learner, adaptive.DataSaver):
        computed(learner.learner, n)
        return learner
    for _ in range(n):
        (x,), _ = learner.ask(1)
        learner.tell(x, learner.function(x))
    return learner


def is_done(goal, learner):
    return smart_goal(goal, [learner])(learner)


def without_address(goal):
    """Return a name for a test that is the same in each process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(goal))


# What a goal may be.


class Callable:
    def __call__(self, learner):  # noqa: ARG002
        return True


@pytest.mark.parametrize(
    "goal",
    [
        None,
        0,
        10,
        0.0,
        0.01,
        np.int64(3),
        np.float32(0.5),
        math.inf,
        timedelta(hours=1),
        timedelta(0),
        datetime(2030, 1, 1),  # noqa: DTZ001
        datetime(2030, 1, 1, tzinfo=UTC),
        lambda learner: True,  # noqa: ARG005
        lambda learner, more=1: True,  # noqa: ARG005
        lambda *args: True,  # noqa: ARG005
        partial(operator.eq, 1),
        adaptive.SequenceLearner.done,
        Callable(),
        print,
        smart_goal(3, []),
    ],
    ids=without_address,
)
def test_these_are_goals(goal):
    check_goal(goal)


async def waits(learner):
    return True


@pytest.mark.parametrize(
    ("goal", "problem"),
    [
        (True, "bool"),
        (False, "bool"),
        (np.True_, "bool"),
        (-1, "negative"),
        (-0.5, "negative"),
        (timedelta(seconds=-1), "negative"),
        (math.nan, "not a number"),
        (np.float64("nan"), "not a number"),
        (1j, "complex"),
        ("100", "str"),
        ([10], "list"),
        ({"npoints": 10}, "dict"),
        (datetime(2030, 1, 1, tzinfo=UTC).date(), "date"),
        (lambda: True, "argument"),
        (lambda a, b: True, "argument"),  # noqa: ARG005
        (lambda *, learner: True, "argument"),  # noqa: ARG005
        (waits, "async"),
    ],
    ids=without_address,
)
def test_these_are_no_goals_and_the_error_says_what_is(goal, problem):
    for check in (check_goal, lambda goal: smart_goal(goal, [line()])):
        with pytest.raises(InvalidGoalError, match=rf"number of points[\s\S]* is .*{problem}"):
            check(goal)


@pytest.mark.system
def test_checking_a_goal_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from adaptive_scheduler.learners.goals import check_goal\n"
        "check_goal(3); check_goal(None)\n"
        "assert not {'adaptive', 'numpy', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# What each means.


def test_an_int_is_a_number_of_points():
    learner = computed(line(), 9)
    assert not is_done(10, learner)
    assert is_done(10, computed(learner, 1))


def test_a_float_is_a_loss():
    learner = line()
    assert not is_done(0.5, learner)
    computed(learner, 50)
    assert is_done(learner.loss(), learner)
    assert not is_done(learner.loss() * 0.99, learner)


def test_numbers_of_numpy_mean_the_same():
    assert smart_goal(np.int64(3), []) == smart_goal(3, [])
    assert smart_goal(np.float64(3), []) == smart_goal(3.0, [])
    assert smart_goal(3, []) != smart_goal(3.0, [])


@pytest.mark.parametrize(
    "tz", [None, UTC, timezone(timedelta(hours=9))], ids=["local", "utc", "tokyo"]
)
def test_a_datetime_is_when_to_stop(tz):
    now = datetime.now(tz)
    assert is_done(now - timedelta(minutes=1), line())
    assert not is_done(now + timedelta(minutes=1), line())


def test_a_datetime_without_a_zone_means_local_time_where_it_was_given(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        goal = smart_goal(datetime.now() - timedelta(minutes=1), [line()])  # noqa: DTZ005
        monkeypatch.setenv("TZ", "America/Los_Angeles")
        time.tzset()
        assert goal(line())
        assert pickle.loads(pickle.dumps(goal))(line())
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_timedelta_counts_from_the_first_evaluation(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    goal = smart_goal(timedelta(seconds=10), [line()])
    now[0] = 500.0
    assert not goal(line())
    now[0] = 509.0
    assert not goal(line())
    now[0] = 510.0
    assert goal(line())


def test_a_timedelta_counts_anew_in_each_job(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    goal = smart_goal(timedelta(seconds=10), [line()])
    goal(line())
    now[0] = 200.0
    assert goal(line())
    elsewhere = pickle.loads(pickle.dumps(goal))
    assert elsewhere == goal
    assert not elsewhere(line())


def test_a_function_is_left_as_it_is():
    def goal(learner):
        return learner.npoints > 3

    assert smart_goal(goal, [line()]) is goal


@pytest.mark.parametrize("wrap", [lambda s: s, saver, balancing, lambda s: balancing(saver(s))])
def test_none_lets_sequences_run_to_their_end(wrap):
    inner = sequence(3)
    learner = wrap(inner)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        goal = smart_goal(None, [learner, learner])
    computed(inner, 2)
    assert not goal(learner)
    (point,), _ = inner.ask(1)
    assert not goal(learner), "the last point was asked for, not computed"
    inner.tell(point, 1)
    assert goal(learner)


def test_none_lets_integrals_run_until_their_tolerance():
    learner = integral()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        goal = smart_goal(None, [learner])
    assert not goal(learner)
    adaptive.runner.simple(learner, goal=goal)
    assert learner.done()


@pytest.mark.parametrize("learners", [[line()], [sequence(), line()], [balancing(line())]])
def test_none_for_other_learners_is_warned_of_and_never_done(learners):
    with pytest.warns(UserWarning, match="Learner1D run until") as record:
        goal = smart_goal(None, learners)
    assert record[0].filename == __file__
    for learner in learners:
        assert not goal(learner)
    assert not goal(computed(line(), 20))


# All kinds of learners.


def test_a_number_of_points_is_that_of_all_children_together():
    first, second = line(), line()
    smart = smart_goal(10, [balancing(first, second)])
    computed(first, 7)
    assert not smart(balancing(first, second))
    computed(second, 3)
    assert smart(balancing(first, second))


@pytest.mark.parametrize(("goal", "npoints"), [(0.5, None), (None, (4, 6))], ids=["float", "None"])
def test_a_goal_holds_for_every_child_of_a_balancing_learner(goal, npoints):
    first, second = (sequence(4), sequence(6)) if goal is None else (line(), line())
    learner = balancing(first, second)
    smart = smart_goal(goal, [learner])
    adaptive.runner.simple(first, goal=smart)
    assert smart(first)
    assert not smart(learner)
    adaptive.runner.simple(second, goal=smart)
    assert smart(learner)
    assert npoints is None or (first.npoints, second.npoints) == npoints


@pytest.mark.parametrize("goal", [100, 0.0, datetime(9000, 1, 1, tzinfo=UTC), timedelta(days=9)])
def test_goals_that_a_sequence_never_reaches_end_with_it(goal):
    learner = sequence(3)
    adaptive.runner.simple(learner, goal=smart_goal(goal, [learner]))
    assert learner.done()


def test_goals_that_an_integral_never_reaches_end_when_nothing_is_left_to_ask():
    learner = adaptive.IntegratorLearner(lambda x: x**2, (0, 1), tol=1e-3)
    adaptive.runner.simple(learner, goal=smart_goal(100_000, [learner]))
    assert learner.done()


@pytest.mark.parametrize(
    "learner",
    [
        adaptive.AverageLearner(math.sin, atol=0.1),
        adaptive.AverageLearner1D(math.sin, (-1, 1)),
        adaptive.Learner2D(math.sin, [(-1, 1), (-1, 1)]),
        adaptive.LearnerND(math.sin, [(-1, 1)] * 3),
        integral(),
        sequence(),
        saver(line()),
        saver(sequence()),
        balancing(saver(line()), saver(line())),
    ],
    ids=lambda learner: type(learner).__name__,
)
@pytest.mark.parametrize("goal", [3, 0.01, datetime(2100, 1, 1, tzinfo=UTC), timedelta(days=1)])
def test_every_kind_of_learner_can_be_asked_before_its_first_point(learner, goal):
    assert is_done(goal, learner) is False


@pytest.mark.parametrize(
    "goal", [3, 0.5, timedelta(hours=1), datetime(2030, 1, 1, tzinfo=UTC), None]
)
def test_what_smart_goal_returns_can_be_pickled_and_compared(goal):
    smart = smart_goal(goal, [sequence()])
    again = pickle.loads(pickle.dumps(smart))
    assert again == smart
    assert again(computed(sequence(3), 3))


def test_a_runner_stops_at_the_goal():
    learner = line()
    runner = adaptive.BlockingRunner(
        learner, goal=smart_goal(7, [learner]), executor=adaptive.runner.SequentialExecutor()
    )
    assert runner.learner.npoints == 7
