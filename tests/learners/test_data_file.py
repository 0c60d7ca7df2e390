"""Learners that save and load in their own way keep doing so."""

# ruff: noqa: ARG002 - save and load have adaptive's parameters

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler.errors import DataFileError
from adaptive_scheduler.learners.storage import DataFiles


class Json(adaptive.SequenceLearner):
    def save(self, fname, compress=True):
        Path(fname).write_text(json.dumps(dict(self.data)))

    def load(self, fname, compress=True):
        data = json.loads(Path(fname).read_text())
        self.tell_many([(int(i), None) for i in data], data.values())


class TwoFiles(Json):
    def save(self, fname, compress=True):
        super().save(f"{fname}.json")
        Path(fname).parent.joinpath("notes").mkdir()
        Path(fname).parent.joinpath("notes", "n.txt").write_text(str(self.npoints))

    def load(self, fname, compress=True):
        super().load(f"{fname}.json")
        assert int(Path(fname).parent.joinpath("notes", "n.txt").read_text()) == self.npoints


class WithHistory(adaptive.SequenceLearner):
    """Adaptive's format, and something more."""

    history = ()

    def _get_data(self):
        return super()._get_data(), self.history

    def _set_data(self, data):
        data, self.history = data
        super()._set_data(data)


class Together(adaptive.BalancingLearner):
    def save(self, fname, compress=True):
        for i, name in enumerate(fname):
            Path(name).write_text(f"{i} {self.learners[i].npoints}")

    def load(self, fname, compress=True):
        self.found = [Path(name).read_text() for name in fname]


def told(learner):
    learner.tell_many([(0, None), (2, None)], [1.5, 3.5])
    return learner


@pytest.mark.parametrize("kind", [Json, TwoFiles, WithHistory])
def test_what_such_a_learner_saves_it_loads(tmp_path, kind):
    learner = told(kind(float, [1, 2, 3]))
    learner.history = ("yesterday",)
    fname = tmp_path / "sub" / "data.x"
    assert DataFiles(learner, fname).save() > 0
    loaded = kind(float, [1, 2, 3])
    assert DataFiles(loaded, fname).load() == []
    assert dict(loaded.data) == {0: 1.5, 2: 3.5}
    if kind is WithHistory:
        assert loaded.history == ("yesterday",)


def test_its_format_is_on_disk(tmp_path):
    DataFiles(told(Json(float, [1, 2, 3])), tmp_path / "f").save()
    assert json.loads((tmp_path / "f").read_text()) == {"0": 1.5, "2": 3.5}
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_method_given_to_one_learner_counts_too(tmp_path):
    learner = told(adaptive.SequenceLearner(float, [1, 2, 3]))
    learner.save = lambda fname: Path(fname).write_text("mine")
    DataFiles(learner, tmp_path / "f").save()
    assert (tmp_path / "f").read_text() == "mine"


def test_such_learners_among_the_children_of_a_balancing_learner(tmp_path):
    fnames = [tmp_path / "a", tmp_path / "b"]
    learner = adaptive.BalancingLearner([told(Json(float, [1, 2, 3])) for _ in fnames])
    DataFiles(learner, fnames).save()
    assert json.loads(fnames[1].read_text()) == {"0": 1.5, "2": 3.5}
    loaded = adaptive.BalancingLearner([Json(float, [1, 2, 3]) for _ in fnames])
    DataFiles(loaded, fnames).load()
    assert loaded.npoints == 4


def test_a_balancing_learner_with_its_own_format_gets_all_names(tmp_path):
    fnames = [tmp_path / "x" / "data", tmp_path / "y" / "data"]
    learner = Together([told(adaptive.SequenceLearner(float, [1, 2, 3])) for _ in fnames])
    DataFiles(learner, fnames).save()
    assert [fname.read_text() for fname in fnames] == ["0 2", "1 2"]
    DataFiles(learner, fnames).load()
    assert learner.found == ["0 2", "1 2"]


@pytest.mark.parametrize("kind", [Json, TwoFiles])
def test_nothing_saved_yet_is_nothing_to_load(tmp_path, kind):
    learner = kind(float, [1, 2, 3])
    assert DataFiles(learner, tmp_path / "f").load() == []
    assert learner.npoints == 0


def test_a_file_that_belongs_to_others_which_are_gone_is_left_alone(tmp_path):
    class InTwoParts(Json):
        def load(self, fname, compress=True):
            super().load(Path(fname))
            Path(f"{fname}.more").read_text()

    (tmp_path / "f").write_text('{"0": 1.5}')
    learner = InTwoParts(float, [1, 2, 3])
    files = DataFiles(learner, tmp_path / "f")
    with pytest.raises(DataFileError, match="No such file"):
        files.load()
    with pytest.raises(DataFileError):
        files.save()
    assert learner.npoints == 0
    assert (tmp_path / "f").read_text() == '{"0": 1.5}'


@pytest.mark.parametrize("content", [b"", b'{"0": 1.5, "1', b'{"0": 1.5, "x": 2}'])
def test_a_broken_file_is_kept_aside(tmp_path, content):
    (tmp_path / "f").write_bytes(content)
    learner = Json(float, [1, 2, 3])
    (aside,) = DataFiles(learner, tmp_path / "f").load()
    assert Path(aside.kept_as).read_bytes() == content
    assert learner.npoints == 0
    assert learner.ask(3, tell_pending=False) == Json(float, [1, 2, 3]).ask(3, tell_pending=False)


def test_a_torn_file_is_noticed_where_the_learner_keeps_quiet(tmp_path):
    class Careful(adaptive.SequenceLearner):
        def load(self, fname, compress=True):
            super().load(fname)  # adaptive takes a file that ends too early for an empty one

    fname = tmp_path / "f"
    told(adaptive.SequenceLearner(float, [1, 2, 3])).save(str(fname))
    torn = fname.read_bytes()[:-10]
    fname.write_bytes(torn)
    (aside,) = DataFiles(Careful(float, [1, 2, 3]), fname).load()
    assert Path(aside.kept_as).read_bytes() == torn


def test_a_broken_file_among_several_is_left_to_the_user(tmp_path):
    class Failing(Together):
        def load(self, fname, compress=True):
            raise ValueError("broken")

    fnames = [tmp_path / "a", tmp_path / "b"]
    for fname in fnames:
        fname.write_text("x")
    learner = Failing([Json(float, [1]) for _ in fnames])
    children = list(learner.learners)
    files = DataFiles(learner, fnames)
    with pytest.raises(DataFileError, match="broken"):
        files.load()
    assert all(a is b for a, b in zip(children, learner.learners, strict=True))
    with pytest.raises(DataFileError):
        files.save()
    assert [fname.read_text() for fname in fnames] == ["x", "x"]


def test_save_that_raises_leaves_the_old_file(tmp_path):
    class Failing(Json):
        def save(self, fname, compress=True):
            Path(fname).write_text("half")
            raise ValueError("no more")

    (tmp_path / "f").write_text("{}")
    with pytest.raises(DataFileError, match="no more"):
        DataFiles(Failing(float, [1]), tmp_path / "f").save()
    assert (tmp_path / "f").read_text() == "{}"


def test_save_that_quietly_writes_nothing_is_an_error(tmp_path):
    class Quiet(Json):
        def save(self, fname, compress=True):
            pass

    with pytest.raises(DataFileError, match="wrote nothing"):
        DataFiles(Quiet(float, [1]), tmp_path / "f").save()


def test_a_file_of_another_user_is_told(folder):
    if os.geteuid() != 0:
        pytest.skip("Only root can give files away.")
    learner = Json(abs, range(3))
    learner.tell((0, 0), 1)
    DataFiles(learner, "a").save()
    os.chown("a", pwd.getpwnam("nobody").pw_uid, -1)
    files = DataFiles(learner.new(), "a")
    files.load()
    assert files.other_writers == {"a": "nobody"}
