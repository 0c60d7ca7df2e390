"""Learners that wait for each other are named before anything is written."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.errors import DependencyError
from adaptive_scheduler.run_folder.dependencies import check_dependencies


def test_no_dependencies_are_fine():
    check_dependencies(None, 3)
    check_dependencies({}, 3)
    check_dependencies({1: []}, 3)


@pytest.mark.parametrize("dependencies", [{3: [0]}, {0: [3]}, {-1: [0]}, {0: [1, -1]}])
def test_dependencies_are_between_learners_that_exist(dependencies):
    with pytest.raises(DependencyError, match="numbered from 0 to 2"):
        check_dependencies(dependencies, 3)


@pytest.mark.parametrize("dependencies", [[0, 1], {1: 0}, {1: None}])
def test_dependencies_are_lists_by_learner(dependencies):
    with pytest.raises(DependencyError, match=r"(dict|list) of"):
        check_dependencies(dependencies, 3)


@pytest.mark.parametrize(
    ("dependencies", "cycle"),
    [
        ({0: [0]}, "0 -> 0"),
        ({0: [1], 1: [0]}, "0 -> 1 -> 0"),
        ({0: [1, 2], 2: [3], 3: [1, 2]}, "2 -> 3 -> 2"),
    ],
)
def test_learners_that_wait_for_each_other_are_named(dependencies, cycle):
    with pytest.raises(DependencyError, match=f"for ever: {cycle}."):
        check_dependencies(dependencies, 4)


def test_long_chains_and_wide_fans_are_checked():
    n = 5000
    chain = {i: [i - 1] for i in range(1, n)}
    check_dependencies(chain, n)
    check_dependencies({n - 1: range(n - 1), **{key: [0] for key in range(1, n - 1)}}, n)
    with pytest.raises(DependencyError, match="for ever: "):
        check_dependencies({**chain, 0: [n - 1]}, n)


def is_cyclic(dependencies, n):
    """Say whether there is a cycle, by taking away what waits for nothing."""
    left = {i: set(dependencies.get(i, ())) for i in range(n)}
    while free := [i for i, needed in left.items() if not needed & left.keys()]:
        for i in free:
            del left[i]
    return bool(left)


@given(st.dictionaries(st.integers(0, 5), st.lists(st.integers(0, 5), max_size=3)))
def test_exactly_the_cycles_are_refused(dependencies):
    try:
        check_dependencies(dependencies, 6)
    except DependencyError as error:
        cycle = [int(i) for i in re.findall(r"\d+", str(error))]
        assert cycle[0] == cycle[-1]
        steps = itertools.pairwise(cycle)
        assert all(needed in dependencies[index] for index, needed in steps)
    else:
        assert not is_cyclic(dependencies, 6)
