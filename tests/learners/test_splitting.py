import adaptive
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.learners.splitting import (
    shuffle_list,
    split,
    split_in_balancing_learners,
)


def learners(n):
    return [adaptive.Learner1D(abs, (i, i + 1)) for i in range(n)]


@pytest.mark.parametrize(
    ("n", "seed", "order"),
    [
        (0, 0, []),
        (1, 0, [0]),
        (5, 0, [2, 1, 0, 4, 3]),
        (10, 0, [7, 8, 1, 5, 3, 4, 2, 0, 9, 6]),
        (10, 1, [6, 8, 9, 7, 5, 3, 0, 4, 1, 2]),
        (10, 42, [7, 3, 2, 8, 5, 6, 9, 4, 0, 1]),
        (20, 0, [10, 18, 16, 14, 0, 17, 11, 2, 3, 9, 5, 7, 4, 19, 6, 15, 8, 1, 13, 12]),
    ],
)
def test_a_seed_gives_the_order_that_it_always_gave(n, seed, order):
    (shuffled,) = shuffle_list(range(n), seed=seed)
    assert list(shuffled) == order


@given(st.lists(st.integers()), st.integers())
def test_lists_are_shuffled_in_the_same_way(xs, seed):
    shuffled, texts = shuffle_list(xs, [str(x) for x in xs], seed=seed)
    assert sorted(shuffled) == sorted(xs)
    assert texts == tuple(str(x) for x in shuffled)


def test_what_is_shuffled_does_not_change():
    xs = list(range(10))
    shuffle_list(xs)
    assert xs == list(range(10))


def test_lists_of_different_lengths_are_not_shuffled():
    with pytest.raises(InvalidInputError, match="2, 3"):
        shuffle_list([1, 2], [1, 2, 3])


@given(st.lists(st.integers()), st.integers(1, 30))
def test_splitting_keeps_all_elements_in_their_order(xs, n_parts):
    parts = list(split(xs, n_parts))
    assert [x for part in parts for x in part] == xs
    assert len(parts) <= n_parts
    assert all(parts)


@given(st.lists(st.integers(), min_size=1), st.integers(1, 30))
def test_only_the_last_part_is_smaller(xs, n_parts):
    *others, last = split(xs, n_parts)
    assert len({len(part) for part in others}) <= 1
    assert all(len(part) >= len(last) for part in others)


@pytest.mark.parametrize(
    ("n", "n_parts", "sizes"),
    [
        (0, 3, []),
        (10, 1, [10]),
        (10, 3, [4, 4, 2]),
        (10, 4, [3, 3, 3, 1]),
        (5, 4, [2, 2, 1]),
        (3, 7, [1, 1, 1]),
        (11, 6, [2, 2, 2, 2, 2, 1]),
    ],
)
def test_parts_have_the_sizes_that_they_always_had(n, n_parts, sizes):
    assert [len(part) for part in split(range(n), n_parts)] == sizes


def test_an_iterator_can_be_split():
    assert list(split(iter("abc"), 2)) == [("a", "b"), ("c",)]


@pytest.mark.parametrize("n_parts", [0, -1])
def test_no_parts_at_all_is_an_error_at_once(n_parts):
    with pytest.raises(InvalidInputError, match=str(n_parts)):
        split([1, 2], n_parts)


def test_learners_are_put_into_balancing_learners_with_their_files():
    originals = learners(5)
    fnames = [f"{i}.pickle" for i in range(5)]
    balancing, parts = split_in_balancing_learners(originals, fnames, 2)
    assert [b.learners for b in balancing] == [originals[:3], originals[3:]]
    assert parts == [fnames[:3], fnames[3:]]
    assert {b.strategy for b in balancing} == {"npoints"}


def test_the_strategy_is_passed_on():
    balancing, _ = split_in_balancing_learners(learners(2), ["a", "b"], 1, strategy="loss")
    assert balancing[0].strategy == "loss"


def test_each_learner_needs_a_file():
    with pytest.raises(InvalidInputError, match="3 learners and 2 fnames"):
        split_in_balancing_learners(learners(3), ["a", "b"], 2)
