"""A learner is found by the name of its data, wherever the run was started."""

from __future__ import annotations

import math
import os
import stat
import time
from functools import partial
from pathlib import Path

import adaptive
import cloudpickle
import pytest

from adaptive_scheduler._common import trusted
from adaptive_scheduler.errors import (
    InvalidInputError,
    LearnerNotFoundError,
    RunFolderError,
    UnpicklableError,
    UntrustedFileError,
)
from adaptive_scheduler.learners.learner_files import (
    cloudpickle_learners,
    fname_to_learner,
    fname_to_learner_fname,
)
from adaptive_scheduler.learners.pack import write_pack


def power(exponent, xs=()):
    learner = adaptive.Learner1D(partial(pow, exp=exponent), (0, 1))
    for x in xs:
        learner.tell(x, x**exponent)
    return learner


def exponent(learner):
    return learner.function.keywords["exp"]


def hello():
    return "hello"


# Names, as 2.x made them.


@pytest.mark.parametrize(
    ("fname", "expected"),
    [
        ("c.pickle", ".learner.c.pickle"),
        ("a/b.pickle", "a/.learner.b.pickle"),
        (Path("q/a.pickle"), "q/.learner.a.pickle"),
        ("/abs/d.pickle", "/abs/.learner.d.pickle"),
        ("noext", ".learner.noext"),
        ("q/a.tar.gz", "q/.learner.a.tar.gz"),
        (["x/a.pickle", "x/b.pickle"], "x/.00000002_learners.a.pickle"),
        ([Path("u/1"), Path("u/2"), Path("v/3")], "u/.00000003_learners.1"),
    ],
)
def test_the_file_of_a_learner_lies_beside_its_data(fname, expected):
    assert fname_to_learner_fname(fname) == Path(expected)


def belong_to_another_user(monkeypatch):
    """Make all files seem to be another user's, for whoever looks from now on."""
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(trusted, "_ROOT", 12346)


# A file for each learner.


def test_each_learner_gets_a_file_with_its_initializer(folder):
    learners = [power(2, xs=[0.5]), power(3)]
    n_bytes, seconds = cloudpickle_learners(
        learners, ["a", "sub/b"], initializers=[hello, None], with_progress_bar=False
    )
    files = [folder / ".learner.a", folder / "sub" / ".learner.b"]
    assert n_bytes == sum(path.stat().st_size for path in files)
    assert seconds > 0
    learner, initializer = cloudpickle.loads(files[0].read_bytes())
    assert exponent(learner) == 2
    assert learner.npoints == 0
    assert initializer is hello
    assert exponent(fname_to_learner("sub/b")) == 3
    assert fname_to_learner("a", return_initializer=True)[1] is hello
    assert fname_to_learner("sub/b", return_initializer=True)[1] is None


def test_points_can_be_written_too(folder):
    cloudpickle_learners([power(2, xs=[0.5])], ["a"], empty_copies=False)
    assert fname_to_learner("a").npoints == 1


def test_balancing_learners_have_one_file(folder):
    fnames = [Path("a"), Path("b")]
    cloudpickle_learners([adaptive.BalancingLearner([power(2), power(3)])], [fnames])
    assert [exponent(child) for child in fname_to_learner(fnames).learners] == [2, 3]


def test_writing_can_be_watched(folder, capsys):
    cloudpickle_learners([power(2)], ["a"], with_progress_bar=True)
    assert "Writing learners" in capsys.readouterr().out


def test_the_learner_that_can_not_be_pickled_is_named(folder):
    bad = adaptive.Learner1D(partial(pow, exp=(i for i in "")), (0, 1))
    with pytest.raises(UnpicklableError, match=r"Learner 1 \('b'\)[\s\S]*keywords\['exp'\]"):
        cloudpickle_learners([power(2), bad], ["a", "b"])


def test_numbers_that_do_not_match_are_refused(folder):
    with pytest.raises(InvalidInputError, match="1 learners, 2 fnames"):
        cloudpickle_learners([power(2)], ["a", "b"])
    assert not list(folder.iterdir())


def test_a_file_that_is_no_learner(folder):
    Path(".learner.a").write_bytes(b"no")
    with pytest.raises(UnpicklableError, match=r"\.learner\.a"):
        fname_to_learner("a")


# The pack of a run.


def test_a_learner_is_found_in_the_run_that_was_started_here(folder):
    write_pack(
        "one-run/learners.pack", [power(2), power(3)], ["a", "data/b"], initializers=[None, hello]
    )
    write_pack("two-run/learners.pack", [power(4)], ["c"])
    assert exponent(fname_to_learner("a")) == 2
    assert fname_to_learner(Path("data/b"), return_initializer=True)[1] is hello
    assert exponent(fname_to_learner(folder / "data" / ".." / "data" / "b")) == 3
    assert exponent(fname_to_learner("c")) == 4


def test_a_learner_is_found_from_another_folder(folder, monkeypatch):
    write_pack("x-run/learners.pack", [power(2)], ["deep/er/a"])
    elsewhere = folder / "deep"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert exponent(fname_to_learner("er/a")) == 2
    monkeypatch.chdir("/")
    assert exponent(fname_to_learner(str(folder / "deep" / "er" / "a"))) == 2


def test_the_same_name_in_another_folder_is_another_learner(folder, monkeypatch):
    write_pack("x-run/learners.pack", [power(2)], ["data/a"])
    (folder / "sub").mkdir()
    monkeypatch.chdir(folder / "sub")
    with pytest.raises(LearnerNotFoundError):
        fname_to_learner("data/a")


def test_a_run_that_was_moved_with_its_data_counts_from_where_it_is(folder, monkeypatch):
    (folder / "old").mkdir()
    monkeypatch.chdir(folder / "old")
    write_pack("x-run/learners.pack", [power(2)], ["data/a"])
    (folder / "old").rename(folder / "new")
    monkeypatch.chdir(folder)
    assert exponent(fname_to_learner("new/data/a")) == 2


def test_balancing_learners_are_found_by_all_their_names(folder):
    write_pack(
        "x-run/learners.pack", [adaptive.BalancingLearner([power(2), power(3)])], [["a", "b"]]
    )
    assert len(fname_to_learner(["a", "b"]).learners) == 2
    with pytest.raises(LearnerNotFoundError):
        fname_to_learner("a")


def set_age(path, seconds):
    now = time.time()
    os.utime(path, (now - seconds, now - seconds))


def test_the_newest_run_counts(folder):
    for name, n, age in (("one", 2, 100), ("two", 3, 50), ("three", 4, 200)):
        write_pack(f"{name}-run/learners.pack", [power(n)], ["a"])
        set_age(f"{name}-run/learners.pack", age)
    assert exponent(fname_to_learner("a")) == 3


def test_what_was_written_last_counts_run_or_file(folder):
    write_pack("x-run/learners.pack", [power(2)], ["a"])
    cloudpickle_learners([power(3)], ["a"])
    set_age("x-run/learners.pack", 10)
    assert exponent(fname_to_learner("a")) == 3
    set_age(".learner.a", 20)
    assert exponent(fname_to_learner("a")) == 2


def test_a_run_that_is_started_again_is_read_again(folder):
    write_pack("x-run/learners.pack", [power(2)], ["a"])
    assert exponent(fname_to_learner("a")) == 2
    write_pack("x-run/learners.pack", [power(3), power(4)], ["b", "a"])
    assert exponent(fname_to_learner("a")) == 4


def test_a_pack_of_another_user_is_never_unpickled(folder, monkeypatch):
    write_pack("x-run/learners.pack", [power(2)], ["a"])
    belong_to_another_user(monkeypatch)
    with pytest.raises(LearnerNotFoundError):
        fname_to_learner("a")


def test_a_learners_file_of_another_user_is_never_unpickled(folder, monkeypatch):
    cloudpickle_learners([power(2)], ["a"])
    belong_to_another_user(monkeypatch)
    with pytest.raises(UntrustedFileError, match=r"\.learner\.a was not read: it belongs to"):
        fname_to_learner("a")


def test_a_learners_file_can_be_written_by_nobody_else_whatever_the_umask(folder):
    before = os.umask(0)
    try:
        cloudpickle_learners([power(2)], ["a"])
        cloudpickle_learners([power(2)], ["a"])  # also one that is replaced
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path(".learner.a").stat().st_mode) == 0o644
    assert exponent(fname_to_learner("a")) == 2


def test_a_damaged_pack_does_not_hide_others(folder):
    write_pack("good-run/learners.pack", [power(2)], ["a"])
    Path("bad-run").mkdir()
    Path("bad-run/learners.pack").write_bytes(b"no")
    assert exponent(fname_to_learner("a")) == 2


def test_a_damaged_learner_is_an_error(folder):
    write_pack("x-run/learners.pack", [power(2)], ["a"])
    content = bytearray(Path("x-run/learners.pack").read_bytes())
    content[content.index(b"Learner1D")] ^= 1
    Path("x-run/learners.pack").write_bytes(content)
    with pytest.raises(RunFolderError, match="damaged"):
        fname_to_learner("a")


def test_a_learner_that_nobody_knows(folder):
    with pytest.raises(LearnerNotFoundError, match=r"No learner is known for a\.pickle"):
        fname_to_learner("a.pickle")
    with pytest.raises(FileNotFoundError):  # what 2.x raised
        fname_to_learner("a.pickle")


def test_a_builtin_function_travels_as_well(folder):
    write_pack("x-run/learners.pack", [adaptive.SequenceLearner(math.sqrt, [1, 4])], ["a"])
    assert fname_to_learner("a").function((0, 9)) == 3
