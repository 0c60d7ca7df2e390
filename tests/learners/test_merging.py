"""What a job has saved that had lost its learner is not lost."""

from __future__ import annotations

import os
import pwd
from operator import itemgetter

import adaptive
import pytest

from adaptive_scheduler.learners.merging import beside as beside_resolved
from adaptive_scheduler.learners.paths import Project, fname_to_str
from adaptive_scheduler.learners.storage import DataFiles, load_parallel, save_parallel


def beside(fname, attempt, job_id):
    return fname_to_str(beside_resolved(Project.here().resolve(fname), attempt, job_id))


def square(x):
    return float(x) ** 2


def plane(xy):
    return float(sum(xy))


def grid(shift=0.0):
    return [(i + shift, j - shift) for i in range(-1, 2) for j in range(-1, 2)]


#: Each with points of the learner's own, and of the job that has lost it.
KINDS = {
    "Learner1D": (lambda: adaptive.Learner1D(square, (-1, 1)), [-1, 0, 1], [0, 0.5]),
    "Learner2D": (
        lambda: adaptive.Learner2D(plane, [(-2, 2), (-2, 2)]),
        grid(),
        [(0.5, 0.5), (0, 0)],
    ),
    "LearnerND": (
        lambda: adaptive.LearnerND(plane, [(-2, 2), (-2, 2)]),
        [(-2.0, -2.0), (-2.0, 2.0), (2.0, -2.0), (2.0, 2.0)],
        [(0.5, 0.5)],
    ),
    "SequenceLearner": (
        lambda: adaptive.SequenceLearner(square, range(6)),
        [(0, 0), (1, 1)],
        [(1, 1), (5, 5)],
    ),
    "AverageLearner": (
        lambda: adaptive.AverageLearner(square, atol=0.1),
        [0, 1, 2],
        [2, 3, 4],
    ),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def told(make, points):
    learner = make()
    for x in points:
        learner.tell(x, plane(x) if isinstance(x, tuple) else square(x))
    return learner


def test_points_that_a_learner_lacks_are_added_and_the_file_stays(tmp_path, kind):
    make, own, others = kind
    fname = str(tmp_path / "f.pickle")
    DataFiles(told(make, own), fname).save()
    other = beside(fname, 1, "12_3")
    DataFiles(told(make, others), other).save()
    learner, both = make(), told(make, [*own, *others])
    with pytest.warns(UserWarning, match=r"f\.pickle\.superseded-1-12_3 has brought"):
        load_parallel([learner], [fname], with_progress_bar=False)
    assert dict(learner.data) == dict(both.data)
    assert learner.npoints == both.npoints
    assert {path.name for path in tmp_path.iterdir()} == {
        "f.pickle",
        "f.pickle.superseded-1-12_3",
    }


def test_without_data_of_its_own_a_learner_gets_the_points_as_well(tmp_path):
    fname = str(tmp_path / "f")
    make, _, others = KINDS["Learner1D"]
    DataFiles(told(make, others), beside(fname, 2, "7")).save()
    learner = make()
    with pytest.warns(UserWarning, match="has brought 2 points"):
        load_parallel([learner], [fname], with_progress_bar=False)
    assert set(learner.data) == set(others)


def test_what_brings_nothing_new_is_not_worth_a_word(tmp_path, recwarn):
    fname = str(tmp_path / "f")
    make, own, _ = KINDS["SequenceLearner"]
    for name in (fname, beside(fname, 1, "7")):
        DataFiles(told(make, own), name).save()
    load_parallel([make()], [fname], with_progress_bar=False)
    assert list(recwarn) == []


def test_the_children_of_a_balancing_learner_get_points_of_their_own(tmp_path):
    def make():
        return adaptive.BalancingLearner([KINDS["Learner1D"][0]() for _ in range(2)])

    fnames = [str(tmp_path / name) for name in "ab"]
    other = make()
    other.tell((1, 0.5), 0.25)
    save_parallel([make(), other], [fnames, beside(fnames, 1, "7")], with_progress_bar=False)
    learner = make()
    with pytest.warns(UserWarning, match=r"b\.superseded-1-7 has brought 1 points"):
        load_parallel([learner], [fnames], with_progress_bar=False)
    assert [set(child.data) for child in learner.learners] == [set(), {0.5}]


def extra(x):
    return {"y": square(x)}


def test_what_can_not_be_added_is_named(tmp_path):
    def make():
        return adaptive.DataSaver(adaptive.Learner1D(extra, (-1, 1)), itemgetter("y"))

    fname = str(tmp_path / "f")
    learner = make()
    learner.tell(0.5, extra(0.5))
    DataFiles(learner, beside(fname, 1, "7")).save()
    empty = make()
    with pytest.warns(UserWarning, match=r"f\.superseded-1-7 holds points of a job"):
        load_parallel([empty], [fname], with_progress_bar=False)
    assert empty.npoints == 0


def test_a_torn_file_is_named_and_stays(tmp_path):
    fname = str(tmp_path / "f")
    torn = tmp_path / "f.superseded-1-7"
    torn.write_bytes(b"\x1f\x8btorn")
    with pytest.warns(UserWarning, match="can't be read"):
        load_parallel([KINDS["Learner1D"][0]()], [fname], with_progress_bar=False)
    assert torn.read_bytes() == b"\x1f\x8btorn"


def test_a_file_of_another_user_is_not_read(folder):
    if os.geteuid() != 0:
        pytest.skip("Only root can give files away.")
    learner = adaptive.SequenceLearner(square, range(6))
    other = learner.new()
    other.tell((5, 5), 25.0)
    DataFiles(other, path := beside("a", 1, "7")).save()
    os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
    with pytest.warns(UserWarning, match=r"superseded-1-7 was not read: it belongs to nobody"):
        load_parallel([learner], ["a"], with_progress_bar=False)
    assert learner.npoints == 0
