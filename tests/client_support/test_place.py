"""A job sees that its folders were moved or deleted, and takes nothing else for that."""

from __future__ import annotations

import shutil

import pytest

from adaptive_scheduler.client_support.place import Place, PlaceGoneError


@pytest.fixture
def project(tmp_path):
    for name in ("project/run-run", "project/data"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path / "project"


@pytest.fixture
def place(project):
    place = Place(project / "run-run", sleep=lambda _: None)
    place.watch({project / "data"})
    yield place
    place.close()


def rename(project):
    project.rename(project.with_name("elsewhere"))


def replace(project):
    rename(project)
    shutil.copytree(project.with_name("elsewhere"), project)


def move_run_folder(project):
    (project / "run-run").rename(project.parent / "other")


def delete_data(project):
    shutil.rmtree(project / "data")


def delete_all(project):
    shutil.rmtree(project)


def to_a_file(project):
    shutil.rmtree(project)
    project.touch()


def test_as_long_as_all_is_there_nothing_is_wrong(place, project):
    (project / "data/new").mkdir()
    place.check()


@pytest.mark.parametrize(
    "act", [rename, replace, move_run_folder, delete_data, delete_all, to_a_file]
)
def test_what_was_moved_or_deleted_is_gone(place, project, act):
    act(project)
    with pytest.raises(PlaceGoneError, match="was moved or deleted while this job ran"):
        place.check()


def test_what_comes_back_at_once_was_never_gone(project):
    def sleep(_):
        project.with_name("elsewhere").rename(project)

    place = Place(project / "run-run", sleep=sleep)
    rename(project)
    place.check()
    place.close()


def test_a_folder_under_another_name_is_the_same(project, tmp_path):
    (tmp_path / "link").symlink_to(project)
    place = Place(tmp_path / "link/run-run")
    place.check()
    place.close()


def test_data_folders_are_watched_from_when_they_exist(place, project):
    later = project / "later"
    place.watch({later})
    assert not place.is_watched(later)
    place.check()
    later.mkdir()
    place.watch({later})
    assert place.is_watched(later)
    later.rmdir()
    with pytest.raises(PlaceGoneError, match="later"):
        place.check()


def test_folders_of_the_last_learner_are_not_watched_any_more(place, project):
    place.watch(set())
    delete_data(project)
    place.check()
