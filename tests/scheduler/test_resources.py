"""What jobs ask for: one request for all learners, or one for each."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.scheduler import Resources, seconds_of
from adaptive_scheduler.scheduler.pbs.resources import PbsResources
from adaptive_scheduler.scheduler.resources import ResourceTable, clock_time
from adaptive_scheduler.scheduler.slurm.resources import SlurmResources


def table(**requested):
    return ResourceTable(Resources, requested)


def test_one_value_serves_all_learners():
    t = table(cores=4)
    assert t.n_learners is None
    assert t.resources(0) == t.resources(99) == Resources(cores=4)
    assert t.group(0) == t.group(99)


def test_a_tuple_has_one_value_for_each_learner():
    t = table(cores=(1, 2, 1), num_threads=3)
    assert t.n_learners == 3
    assert [t.resources(i).cores for i in range(3)] == [1, 2, 1]
    assert t.group(0) == t.group(2) != t.group(1)


def test_a_function_is_called_each_time_a_job_is_submitted():
    cores = iter([1, 2])
    t = table(cores=lambda: next(cores))
    assert [t.resources(0).cores, t.resources(0).cores] == [1, 2]


def test_functions_and_values_may_be_mixed_in_a_tuple():
    def two():
        return 2

    t = table(cores=(1, two, two))
    assert [t.resources(i).cores for i in range(3)] == [1, 2, 2]
    assert t.group(1) == t.group(2) != t.group(0)


def test_none_means_the_default():
    assert table(cores=None, extra_script=None, time=None).resources(0) == Resources()


def test_lists_become_hashable_so_that_resources_can_be_compared():
    t = table(extra_env_vars=(["A=1"], ["A=1"], None))
    assert t.resources(0) == t.resources(1) == Resources(extra_env_vars=("A=1",))
    assert hash(t.resources(0)) == hash(t.resources(1))
    assert t.group(0) == t.group(1) != t.group(2)


def test_no_scheduler_works_with_the_resources_of_another():
    wanted = SlurmResources(cores=2)
    assert SlurmResources.of(wanted) is Resources.of(wanted) is wanted
    with pytest.raises(InvalidInputError, match=r"These are no PbsResources: SlurmResources\("):
        PbsResources.of(wanted)


def test_wishes_that_a_kind_of_resources_does_not_have_are_not_its_business():
    assert table(cores=1, nodes=3).resources(0) == Resources(cores=1)


def test_tuples_of_different_lengths_are_refused():
    with pytest.raises(InvalidInputError, match="cores has 2, num_threads has 3"):
        table(cores=(1, 2), num_threads=(1, 2, 3))


def test_a_learner_for_which_there_is_no_value_is_named():
    with pytest.raises(InvalidInputError, match="none for learner 2"):
        table(cores=(1, 2)).resources(2)


def test_a_value_that_can_not_be_is_refused_at_once():
    with pytest.raises(InvalidInputError, match="`cores`"):
        table(cores=(1, 0))


def test_a_function_is_not_called_before_it_is_needed():
    def fail():
        raise AssertionError

    table(cores=fail)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cores", 0),
        ("cores", 1.0),
        ("cores", True),
        ("cores", "4"),
        ("num_threads", -1),
        ("executor_type", "no-such-pool"),
        ("executor_type", None),
        ("extra_env_vars", ("A",)),
        ("extra_env_vars", ("A B=1",)),
        ("extra_env_vars", ("1A=1",)),
        ("extra_env_vars", ("=1",)),
        ("extra_env_vars", "A=1"),
        ("extra_env_vars", (1,)),
        ("extra_scheduler", "--qos=high"),
        ("extra_scheduler", (1,)),
        ("extra_script", ["echo"]),
        ("time", "soon"),
        ("time", "30"),
        ("time", "1:2:3:4"),
        ("time", "00:00:61"),
        ("time", "00:00:00"),
        ("time", "\u0661\u0662:00:00"),  # other digits
        ("time", 0),
        ("time", -5),
        ("time", float("nan")),
        ("time", float("inf")),
        ("time", True),
        ("time", timedelta(seconds=-1)),
    ],
)
def test_values_that_can_not_be_are_refused_by_name(field, value):
    with pytest.raises(InvalidInputError, match=f"`{field}`|{value!r}"):
        Resources(**{field: value})


@pytest.mark.parametrize(
    ("given_as", "clock"),
    [
        ("02:30:00", "02:30:00"),
        ("2:30:00", "02:30:00"),
        ("100:00:00", "100:00:00"),
        ("2-01:00:00", "49:00:00"),
        ("15:30", "00:15:30"),
        (" 00:00:10 ", "00:00:10"),
        (90, "00:01:30"),
        (0.5, "00:00:01"),
        (timedelta(days=1, seconds=1), "24:00:01"),
        (timedelta(milliseconds=1), "00:00:01"),
    ],
)
def test_a_time_may_be_said_in_many_ways(given_as, clock):
    assert Resources(time=given_as).time == clock
    assert Resources(time=given_as) == Resources(time=clock)


@given(st.integers(1, 10**9))
def test_a_time_means_the_same_seconds_however_it_is_said(seconds):
    assert seconds_of(clock_time(seconds)) == seconds
    assert clock_time(clock_time(seconds)) == clock_time(timedelta(seconds=seconds))
