"""What users give is checked before anything is written, and they are told what is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import adaptive
import numpy as np
import pytest

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.learners.paths import Project
from adaptive_scheduler.scheduler import Local
from adaptive_scheduler.server_support import validation as v


def learner():
    return adaptive.Learner1D(float, (0, 1))


def learners(n):
    return [learner() for _ in range(n)]


def balancing(n):
    return adaptive.BalancingLearner(learners(n))


def check_learners(learners, fnames):
    v.check_learners(learners, fnames, Project.here())


def refused(message):
    return pytest.raises(InvalidInputError, match=message)


# Learners and their files.


def test_learners_with_files_of_their_own_are_fine():
    check_learners(learners(3), ["a.pickle", "b/a.pickle", "../a.pickle"])


def test_there_must_be_something_to_run():
    with refused("nothing to run"):
        check_learners([], [])


def test_each_learner_needs_a_file():
    with refused("there are 2 learners and 3 fnames"):
        check_learners(learners(2), ["a", "b", "c"])


@pytest.mark.parametrize("other", ["a.pickle", "./a.pickle", "b/../a.pickle", "{cwd}/a.pickle"])
def test_two_learners_cannot_share_a_file(tmp_path, monkeypatch, other):
    monkeypatch.chdir(tmp_path)
    with refused(r"Learners 0 and 2 have the same fname '.*a\.pickle': one would overwrite"):
        check_learners(learners(3), ["a.pickle", "b.pickle", other.format(cwd=tmp_path)])


def test_a_balancing_learner_has_a_file_for_each_of_its_learners():
    check_learners([balancing(2), learner()], [["a", "b"], "c"])
    with refused("Learner 0 is a BalancingLearner.*each of its 2 learners, not 'a'"):
        check_learners([balancing(2)], ["a"])
    with refused(r"Learner 0 wants 2 fname\(s\), but got 3"):
        check_learners([balancing(2)], [["a", "b", "c"]])
    with refused("Learners 0 and 0 have the same fname"):
        check_learners([balancing(2)], [["a", "a"]])
    with refused("Learners 0 and 1 have the same fname"):
        check_learners([balancing(2), learner()], [["a", "b"], "b"])


def test_other_learners_have_one_file():
    with refused(r"Learner 1 wants 1 fname\(s\), but got 2"):
        check_learners(learners(2), ["a", ["b", "c"]])


def test_what_is_no_learner_is_named():
    with refused("Learner 1 is a function and no learner"):
        check_learners([learner(), test_other_learners_have_one_file], ["a", "b"])


@pytest.mark.parametrize("name", [1, None, b"a", "", ".", learner(), {"a"}])
def test_what_names_no_file_is_named(name):
    with refused(f"The fname of learner 1 is {re.escape(repr(name))}"):
        check_learners(learners(2), ["a", name])
    with refused("The fname of learner 0 is"):
        check_learners([balancing(2)], [["a", name]])


@pytest.mark.parametrize("values", ["a", Path("a"), {"a": 1}, {"a"}, 3, None])
def test_what_has_no_order_is_no_list(values):
    with refused(f"`fnames` is a list .*, not a {type(values).__name__}"):
        v.checked_list("fnames", values)


@pytest.mark.parametrize("values", [["a", "b"], ("a", "b"), iter("ab"), np.array(["a", "b"])])
def test_what_has_an_order_may_be_a_list(values):
    assert v.checked_list("fnames", values) == ["a", "b"]


def test_a_scheduler_is_no_class():
    v.check_scheduler(Local())
    with refused(r"the class Local: give Local\(\.\.\.\) instead"):
        v.check_scheduler(Local)
    with refused("such as .*, not a list"):
        v.check_scheduler(learners(1))


# Names.


def test_job_names_are_a_name_and_a_number():
    assert v.common_beginning(["sweep-0"], 1) == "sweep"
    assert v.common_beginning(["a-b-0", "a-b-1"], 2) == "a-b"
    assert v.common_beginning(["sweep-0"], 5) == "sweep"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "empty"),
        (["sweep"], r"must be '\{name\}-0'"),
        (["sweep-1"], r"must be '\{name\}-0'"),
        (["sweep-0", "other-1"], r"must be '\{name\}-0'"),
        (["sweep-0", "sweep-0"], r"must be '\{name\}-0'"),
        (["my sweep-0"], "can't be used"),
        (["sweep-0", "sweep-1", "sweep-2"], "3 job names for 2 learners"),
    ],
)
def test_other_job_names_are_refused(names, message):
    with refused(message):
        v.common_beginning(names, 2)
