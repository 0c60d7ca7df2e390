"""Points of a job whose folders are gone are found again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler.learners.paths import Project
from adaptive_scheduler.learners.rescue import (
    add_rescued,
    copy_into,
    node_rescue,
    rescue_folders,
    rescue_name,
    save_rescue,
)
from adaptive_scheduler.learners.storage import DataFiles


def told(learner, n):
    for i in range(n):
        x = i / n
        learner.tell((i, x) if isinstance(learner, adaptive.SequenceLearner) else x, x)
    return learner


def kink(x):
    return abs(x - 0.3) ** 0.5


def line():
    return adaptive.Learner1D(float, (0, 1))


def integral():
    return adaptive.IntegratorLearner(kink, (0, 1), tol=1e-12)


def computed(learner, n):
    for _ in range(n):
        (x,), _ = learner.ask(1)
        learner.tell(x, kink(x))
    return learner


class Own(adaptive.SequenceLearner):
    """A learner with a format of its own."""

    def save(self, fname):
        Path(fname).write_text(json.dumps(dict(self.data)))

    def load(self, fname):
        for i, y in json.loads(Path(fname).read_text()).items():
            self.tell((int(i), self.sequence[int(i)]), y)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "rescue"


def rescued(learner, fname, folder, index=0):
    name = Project.here().resolve(fname)
    save_rescue(learner, name, folder / rescue_name(index, 1, "7"))
    return name


@pytest.mark.parametrize(
    ("make", "has"),
    [
        (line, lambda: told(line(), 4)),
        (integral, lambda: computed(integral(), 40)),
        (
            lambda: Own(float, range(9)),
            lambda: told(Own(float, range(9)), 5),
        ),
    ],
)
def test_points_are_added(folder, make, has):
    lost = has()
    name = rescued(lost, "data.pickle", folder)
    learner = make()
    (line_,) = add_rescued([learner], [name], [folder])
    assert f"has brought {lost.npoints} points" in line_
    assert learner.npoints == lost.npoints
    assert add_rescued([learner], [name], [folder]) == []


def test_what_is_newer_on_disk_is_not_replaced(folder):
    name = rescued(computed(integral(), 30), "data.pickle", folder)
    learner = computed(integral(), 60)
    before = learner.npoints
    assert add_rescued([learner], [name], [folder]) == []
    assert learner.npoints == before


def test_the_learners_of_a_balancing_learner_get_their_own(folder):
    lost = adaptive.BalancingLearner([told(line(), 3), told(line(), 5)])
    name = rescued(lost, ["a/data", "b/data"], folder, index=4)
    learner = adaptive.BalancingLearner([line(), line()])
    assert add_rescued([learner], [name], [folder]) == []  # that is learner 0
    assert len(add_rescued([learner], [name], [folder], indices=[4])) == 1
    assert [each.npoints for each in learner.learners] == [3, 5]


def test_the_run_folder_gets_them_by_its_descriptor_under_any_name(folder, tmp_path):
    name = rescued(told(line(), 4), "data.pickle", folder)
    run_folder = tmp_path / "run-run"
    run_folder.mkdir()
    descriptor = os.open(run_folder, os.O_RDONLY)
    try:
        run_folder.rename(tmp_path / "moved")
        copy_into(descriptor, folder / rescue_name(0, 1, "7"))
        shutil.rmtree(folder)
        learner = line()
        assert add_rescued([learner], [name], [tmp_path / "moved/rescue"])
        assert learner.npoints == 4
        shutil.rmtree(tmp_path / "moved")
        with pytest.raises(FileNotFoundError):
            copy_into(descriptor, folder)
    finally:
        os.close(descriptor)


def test_what_others_may_have_written_is_not_read(folder):
    name = rescued(told(line(), 4), "data.pickle", folder)
    folder.chmod(0o777)
    learner = line()
    assert add_rescued([learner], [name], [folder]) == []
    with pytest.raises(PermissionError):
        rescued(told(line(), 4), "data.pickle", folder, index=1)


def test_a_link_to_a_folder_is_not_followed(folder, tmp_path):
    name = rescued(told(line(), 4), "data.pickle", folder)
    folder.rename(tmp_path / "theirs")
    folder.symlink_to(tmp_path / "theirs")
    assert add_rescued([line()], [name], [folder]) == []
    with pytest.raises(PermissionError):
        rescued(told(line(), 4), "data.pickle", folder, index=1)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("what", ["folder", "file", "link"])
def test_what_another_user_has_put_there_is_not_loaded(folder, what):
    name = rescued(told(line(), 4), "data.pickle", folder)
    own = folder / rescue_name(0, 1, "7")
    (file,) = own.iterdir()
    if what == "link":
        file.rename(folder / "theirs")
        file.symlink_to(folder / "theirs")
    else:
        os.chown(own if what == "folder" else file, 65534, 65534)
    learner = line()
    said = add_rescued([learner], [name], [folder])
    assert learner.npoints == 0
    assert len(said) == (what != "folder")
    assert all("can't be read" in words for words in said)


def test_without_the_id_of_a_run_nothing_on_the_node_is_taken_for_its_own(tmp_path):
    run_folder = tmp_path / "rescue"
    assert rescue_folders(run_folder, "") == [run_folder]
    assert rescue_folders(run_folder, "a1") == [run_folder, node_rescue("a1")]


def test_a_file_that_cant_be_read_is_named(folder):
    name = rescued(told(line(), 4), "data.pickle", folder)
    (file,) = (folder / rescue_name(0, 1, "7")).iterdir()
    DataFiles(line(), name).save()
    file.chmod(0)
    if os.getuid() == 0:
        file.unlink()
        file.mkdir()
    (words,) = add_rescued([line()], [name], [folder])
    assert "can't be read" in words
