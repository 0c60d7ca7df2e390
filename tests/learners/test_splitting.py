"""DOC."""

from __future__ import annotations

from pathlib import Path

import adaptive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.errors import InvalidInputError, UnpicklableError
from adaptive_scheduler.learners.splitting import (
    combine_sequence_learners,
    copy_from_sequence_learner,
    shuffle_list,
    split,
    split_in_balancing_learners,
    split_sequence_in_sequence_learners,
    split_sequence_learner,
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


def double(x):
    return (x, x)


def learner(sequence, done=()):
    """Make a learner with data at the indices `done`."""
    result = adaptive.SequenceLearner(double, sequence)
    for i in done:
        result.tell((i, sequence[i]), double(sequence[i]))
    return result


points = st.lists(st.integers() | st.text() | st.tuples(st.integers(), st.booleans()), min_size=1)


@given(points, st.integers(1, 10), st.data())
def test_combining_what_was_split_gives_it_back(sequence, n_learners, data):
    done = data.draw(st.sets(st.integers(0, len(sequence) - 1)))
    big = learner(sequence, done)
    parts, fnames = split_sequence_learner(big, n_learners)
    combined = combine_sequence_learners(parts)
    assert list(combined.sequence) == sequence
    assert dict(combined.data) == dict(big.data)
    assert combined.done() == big.done()
    assert len(set(fnames)) == len(parts) <= n_learners


@pytest.mark.parametrize(
    ("sequence", "n_learners", "names"),
    [
        (
            range(7),
            3,
            [
                "5d1bafc39b674ad235f83a8fb83a6a22",
                "ffb88c8933e384f69e7e266cae119637",
                "13b09587729789b108b3998c302262c5",
            ],
        ),
        ([1.5, 2.5], 1, ["c06b8c05cf0b2b05f2f6165155f705c5"]),
        (
            ["a", "b", "c"],
            2,
            ["2864bf02a294742a0af1dbf3fe36cbc9", "21e7a0a8ec6c6c07ef546c49a06a62ef"],
        ),
        (
            [{"a": 1}, {"a": 2}],
            2,
            ["9bf732ab23c61c7927d7bb590556121d", "5213085b8aefa33b3ceeecc74cd0c340"],
        ),
        (
            [(1, 2), (3, 4)],
            2,
            ["123a12f2d20dadac393fdffc221cf8af", "ab5adf9d454d567585ac6673986498fc"],
        ),
    ],
)
def test_parts_have_the_names_that_they_always_had(sequence, n_learners, names):
    _, fnames = split_sequence_in_sequence_learners(double, sequence, n_learners)
    assert fnames == [f"{name}.pickle" for name in names]


@pytest.mark.parametrize("folder", ["a/b", Path("a/b"), "./a/b/"])
def test_files_are_in_the_folder(folder):
    _, fnames = split_sequence_in_sequence_learners(double, [1, 2, 3], 2, folder)
    assert fnames == [
        "a/b/e48ad7a04f1a73e18807884fb0e1ed20.pickle",
        "a/b/d65094d88c4226b30d9bf7948d1af8cc.pickle",
    ]


def test_parts_that_begin_alike_have_different_files():
    _, fnames = split_sequence_in_sequence_learners(double, [1, 2, 1, 3, 1, 4], 3)
    first = "e48ad7a04f1a73e18807884fb0e1ed20"
    assert fnames == [f"{first}.pickle", f"{first}_1.pickle", f"{first}_2.pickle"]


def test_arrays_can_be_split():
    parts, _ = split_sequence_in_sequence_learners(double, np.arange(6).reshape(3, 2), 2)
    assert [np.array(part.sequence).tolist() for part in parts] == [[[0, 1], [2, 3]], [[4, 5]]]


def test_the_parts_evaluate_the_points_themselves():
    (part,), _ = split_sequence_in_sequence_learners(double, ["a", "b"], 1)
    assert part.function((1, "b")) == ("b", "b")


def test_no_learners_at_all_is_an_error():
    with pytest.raises(InvalidInputError, match="0"):
        split_sequence_in_sequence_learners(double, [1, 2], 0)


def test_data_goes_along_and_pending_points_do_not():
    big = learner("abcde", done=[1, 3])
    big.tell_pending((0, "a"))
    (left, right), _ = split_sequence_learner(big, 2)
    assert (dict(left.data), dict(right.data)) == ({1: ("b", "b")}, {0: ("d", "d")})
    assert left.ask(9)[0] == [(0, "a"), (2, "c")]
    assert dict(big.data) == {1: ("b", "b"), 3: ("d", "d")}


def test_learners_are_combined_into_one_that_is_there():
    big = learner("abc", done=[2])
    assert combine_sequence_learners([learner("ab", done=[0]), learner("c")], big) is big
    assert dict(big.data) == {0: ("a", "a"), 2: ("c", "c")}
    assert big.ask(9)[0] == [(1, "b")]


def test_a_learner_of_another_length_does_not_get_the_data():
    with pytest.raises(InvalidInputError, match="3 points, but big_learner has 2"):
        combine_sequence_learners([learner("ab"), learner("c")], learner("ab"))


def test_nothing_cannot_be_combined():
    with pytest.raises(InvalidInputError, match="no learners"):
        combine_sequence_learners([])


def test_data_is_copied_to_the_same_points_wherever_they_are():
    sequence = [{"a": 1}, (1, 2), "text", np.array([1.0, 2.0])]
    target = learner([np.array([1.0, 2.0]), "new", {"a": 1}, "text", "text"])
    copy_from_sequence_learner(learner(sequence, done=[0, 2, 3]), target)
    assert sorted(target.data) == [0, 2, 3, 4]
    assert target.data[2] == double({"a": 1})
    assert target.data[3] == target.data[4] == double("text")


def test_copied_data_replaces_older_data_and_leaves_the_rest():
    target = adaptive.SequenceLearner(double, [1, 2, 3])
    target.tell((0, 1), "old")
    target.tell((2, 3), "kept")
    copy_from_sequence_learner(learner([1, 2], done=[0]), target)
    assert dict(target.data) == {0: double(1), 2: "kept"}


def test_points_that_are_equal_but_not_the_same_are_not_copied():
    target = learner([2.0, True])
    copy_from_sequence_learner(learner([1, 2], done=[0, 1]), target)
    assert not target.data


def test_points_that_cannot_be_compared_are_an_error():
    with pytest.raises(UnpicklableError):
        copy_from_sequence_learner(learner([lambda: 1], done=[0]), learner([1]))
