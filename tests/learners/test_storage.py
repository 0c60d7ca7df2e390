"""No point is lost: what was saved is loaded, and what can't be loaded is kept."""

from __future__ import annotations

import errno
import gzip
import os
import pickle
import pwd
import subprocess
import sys
import time
from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path

import adaptive
import cloudpickle
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adaptive_scheduler.errors import DataFileError, InvalidInputError
from adaptive_scheduler.learners.storage import DataFiles, load_parallel, save_parallel


def wave(x):
    return float(np.tanh(8 * np.sum(x)))


def vector(x):
    return np.array([np.sin(5 * x), x**2, 1.0])


def with_extra(x):
    return {"y": wave(x), "words": f"at {x}"}


def noisy(seed_x):
    seed, x = seed_x
    return x**2 + 0.1 * np.random.default_rng(seed).normal()


KINDS = {
    "Learner1D": lambda: adaptive.Learner1D(wave, (-1, 1)),
    "Learner1D-vector": lambda: adaptive.Learner1D(vector, (-1, 1)),
    "Learner2D": lambda: adaptive.Learner2D(wave, [(-1, 1), (-1, 1)]),
    "LearnerND": lambda: adaptive.LearnerND(wave, [(-1, 1)] * 3),
    "SequenceLearner": lambda: adaptive.SequenceLearner(wave, np.linspace(-1, 1, 50).tolist()),
    "AverageLearner": lambda: adaptive.AverageLearner(wave, atol=0.01),
    "AverageLearner1D": lambda: adaptive.AverageLearner1D(noisy, (-1, 1)),
    "IntegratorLearner": lambda: adaptive.IntegratorLearner(wave, (-1, 1), tol=1e-8),
    "DataSaver": lambda: adaptive.DataSaver(
        adaptive.Learner1D(with_extra, (-1, 1)), itemgetter("y")
    ),
    "DataSaver-LearnerND": lambda: adaptive.DataSaver(
        adaptive.LearnerND(with_extra, [(-1, 1)] * 2), itemgetter("y")
    ),
    "BalancingLearner": lambda: adaptive.BalancingLearner(
        [adaptive.Learner1D(wave, (-1, 1 + i)) for i in range(3)]
    ),
    "DataSaver-BalancingLearner": lambda: adaptive.DataSaver(
        adaptive.BalancingLearner([adaptive.Learner1D(with_extra, (-1, i)) for i in (1, 2)]),
        itemgetter("y"),
    ),
    "BalancingLearner-DataSaver": lambda: adaptive.BalancingLearner(
        [
            adaptive.DataSaver(adaptive.SequenceLearner(with_extra, [1, 2, i]), itemgetter("y"))
            for i in range(3)
        ]
    ),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def more_points(learner, n):
    """Ask and tell, until `learner` knows `n` further values."""
    for _ in range(n):
        points, _ = learner.ask(1)
        for point in points:
            learner.tell(point, learner.function(point))
    return learner


def names_for(learner, folder):
    if isinstance(learner, adaptive.BalancingLearner):
        return [str(folder / f"{i}.pickle") for i in range(len(learner.learners))]
    return str(folder / "data.pickle")


def plain(value):
    """Turn data into something that can be compared with ``==``."""
    if isinstance(value, Mapping):
        return {plain(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(plain(v) for v in value)
    return tuple(value.tolist()) if isinstance(value, np.ndarray) else value


def knowledge(learner):
    """All that a learner knows, and what it would do next."""
    if isinstance(learner, adaptive.BalancingLearner):
        return [knowledge(child) for child in learner.learners]
    if isinstance(learner, adaptive.DataSaver):
        return [plain(learner.extra_data), knowledge(learner.learner)]
    data = getattr(learner, "_data_samples", learner.data)
    loss = learner.loss() if learner.npoints else None
    return [learner.npoints, plain(data), plain(loss), plain(learner.ask(4, tell_pending=False))]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def set_aside_in(folder):
    return [path for path in folder.iterdir() if ".unreadable-" in path.name]


# The same files as adaptive's.


def test_what_we_save_is_loaded_by_us_as_by_adaptive(tmp_path, kind):
    learner = more_points(
        KINDS[kind](), 30 if "Sequence" not in kind and "Saver" not in kind else 6
    )
    fname = names_for(learner, tmp_path)
    DataFiles(learner, fname).save()
    ours, theirs = KINDS[kind](), KINDS[kind]()
    assert DataFiles(ours, fname).load() == []
    theirs.load(fname)
    assert ours.npoints == learner.npoints > 0
    assert knowledge(ours) == knowledge(theirs)


def test_what_adaptive_saves_is_loaded_by_us(tmp_path, kind):
    learner = more_points(KINDS[kind](), 6)
    fname = names_for(learner, tmp_path)
    learner.save(fname)
    ours, theirs = KINDS[kind](), KINDS[kind]()
    DataFiles(ours, fname).load()
    theirs.load(fname)
    assert knowledge(ours) == knowledge(theirs)


def test_files_that_are_not_compressed_are_read(tmp_path, kind):
    learner = more_points(KINDS[kind](), 6)
    fname = names_for(learner, tmp_path)
    learner.save(fname, compress=False)
    ours = KINDS[kind]()
    assert DataFiles(ours, fname).load() == []
    assert ours.npoints == learner.npoints


def test_a_loaded_learner_goes_on(tmp_path, kind):
    learner = more_points(KINDS[kind](), 4)
    fname = names_for(learner, tmp_path)
    DataFiles(learner, fname).save()
    loaded = KINDS[kind]()
    files = DataFiles(loaded, fname)
    files.load()
    more_points(loaded, 2)
    assert files.save() > 0
    again = KINDS[kind]()
    DataFiles(again, fname).load()
    assert plain(again.data) == plain(loaded.data)


def test_equal_data_gives_equal_bytes(tmp_path):
    learner = more_points(KINDS["Learner1D"](), 20)
    DataFiles(learner, tmp_path / "a").save()
    DataFiles(learner, tmp_path / "b").save()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_loading_keeps_the_function_that_the_user_has_now(tmp_path):
    old = more_points(adaptive.LearnerND(wave, [(-1, 1)] * 2), 10)
    DataFiles(old, tmp_path / "f").save()

    def corrected(x):
        return wave(x) + 1

    new = adaptive.LearnerND(corrected, [(-1, 1)] * 2)
    DataFiles(new, tmp_path / "f").load()
    assert new.npoints == 10
    assert new.function is corrected


# What can't be read.


def test_a_missing_file_holds_nothing(tmp_path, kind):
    learner = KINDS[kind]()
    assert DataFiles(learner, names_for(learner, tmp_path)).load() == []
    assert learner.npoints == 0


NOT_DATA = {
    "empty": b"",
    "text": b"x,y\n1,2\n",
    "zeros": bytes(500),
    "torn gzip": gzip.compress(pickle.dumps({1.0: 2.0}))[:-9],
    "flipped bit": bytes([*gzip.compress(pickle.dumps({1.0: 2.0}))[:-5], 1, 2, 3, 4, 5]),
    "gzip of nothing": gzip.compress(b""),
    "gzip of text": gzip.compress(b"hello"),
    "torn pickle": pickle.dumps({float(i): float(i) for i in range(100)}, protocol=5)[:-20],
    "number": pickle.dumps(3),
    "text in a pickle": gzip.compress(pickle.dumps("abcd")),
    "list": pickle.dumps([1, 2, 3]),
}


@pytest.mark.parametrize("content", NOT_DATA.values(), ids=NOT_DATA.keys())
def test_what_is_no_data_is_kept_aside_and_the_learner_starts_empty(tmp_path, kind, content):
    learner = KINDS[kind]()
    fname = names_for(learner, tmp_path)
    first = Path(fname[0] if isinstance(fname, list) else fname)
    first.write_bytes(content)
    files = DataFiles(learner, fname)

    (aside,) = files.load()

    assert aside.fname == str(first)
    assert aside.reason
    assert Path(aside.kept_as).read_bytes() == content
    assert Path(aside.kept_as).name.startswith(f"{first.name}.unreadable-2")
    assert not first.exists()
    assert knowledge(learner) == knowledge(KINDS[kind]())
    more_points(learner, 3)
    files.save()
    assert Path(aside.kept_as).read_bytes() == content


def test_data_of_another_kind_of_learner_is_kept_aside(tmp_path):
    fname = tmp_path / "f"
    DataFiles(more_points(KINDS["AverageLearner"](), 5), fname).save()
    learner = KINDS["Learner1D"]()
    (aside,) = DataFiles(learner, fname).load()
    assert "Learner1D" in aside.reason
    assert learner.npoints == 0


def test_a_learner_that_took_half_of_its_data_is_put_back(tmp_path):
    good, out_of_bounds = 0.5, 7.0
    (tmp_path / "f").write_bytes(
        pickle.dumps({good: {0: 1.0}, 0.2: {0: 1.0}, out_of_bounds: {0: 1.0}})
    )
    learner = KINDS["AverageLearner1D"]()
    (aside,) = DataFiles(learner, tmp_path / "f").load()
    assert "out of bounds" in aside.reason
    assert vars(learner).keys() == vars(KINDS["AverageLearner1D"]()).keys()
    assert knowledge(learner) == knowledge(KINDS["AverageLearner1D"]())


def test_points_that_a_learner_had_before_stay_when_the_file_is_bad(tmp_path, kind):
    learner = more_points(KINDS[kind](), 5)
    fname = names_for(learner, tmp_path)
    before = knowledge(learner)
    for path in [fname] if isinstance(fname, str) else fname:
        Path(path).write_bytes(b"\x80bad")
    inner = getattr(learner, "learner", None)
    assert DataFiles(learner, fname).load()
    assert knowledge(learner) == before
    assert getattr(learner, "learner", None) is inner


def test_files_of_one_second_are_kept_under_different_names(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda _: "20240131-120000")
    fname = tmp_path / "f.pickle"
    kept = []
    for i in range(3):
        fname.write_bytes(b"no %d" % i)
        kept += DataFiles(KINDS["Learner1D"](), fname).load()
    assert [Path(aside.kept_as).name for aside in kept] == [
        "f.pickle.unreadable-20240131-120000",
        "f.pickle.unreadable-20240131-120000-2",
        "f.pickle.unreadable-20240131-120000-3",
    ]
    assert [Path(aside.kept_as).read_bytes() for aside in kept] == [b"no 0", b"no 1", b"no 2"]


def test_the_longest_name_can_be_kept_aside_too(tmp_path):
    fname = tmp_path / ("é" * 120 + "x" * 15)
    fname.write_bytes(b"no")
    (aside,) = DataFiles(KINDS["Learner1D"](), fname).load()
    assert Path(aside.kept_as).read_bytes() == b"no"


def good_files():
    """One good file for each kind of learner, compressed and not."""
    for name, new in KINDS.items():
        if not name.startswith("Balancing"):
            data = cloudpickle.dumps(more_points(new(), 7)._get_data(), protocol=5)
            yield from ((name, gzip.compress(data)), (name, data))


GOOD_FILES = list(good_files())


@given(file=st.sampled_from(GOOD_FILES), share=st.floats(0, 1))
@settings(
    max_examples=3 * settings.default.max_examples,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_a_file_cut_at_any_byte_is_read_whole_or_kept_whole(tmp_path_factory, file, share):
    name, content = file
    cut = content[: round(share * len(content))]
    folder = tmp_path_factory.mktemp("cut")
    fname = folder / "f"
    fname.write_bytes(cut)
    learner = KINDS[name]()
    files = DataFiles(learner, fname)
    aside = files.load()
    if aside:
        assert learner.npoints == 0
        assert Path(aside[0].kept_as).read_bytes() == cut
        more_points(learner, 1)
        files.save()
        assert Path(aside[0].kept_as).read_bytes() == cut
    else:
        assert cut == content
        assert learner.npoints == more_points(KINDS[name](), 7).npoints


# What may be good, but not here and now.


def save_with_a_class_that_is_not_here(tmp_path):
    (tmp_path / "laboratory.py").write_text("class Result(float): pass\n")
    code = """
import adaptive, laboratory
learner = adaptive.SequenceLearner(laboratory.Result, [1, 2, 3])
adaptive.runner.simple(learner, goal=lambda l: l.done())
learner.save("f")
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={"PYTHONPATH": "."})
    return tmp_path / "f"


@pytest.mark.system
def test_a_class_that_can_not_be_imported_here_does_not_cost_the_file(tmp_path, monkeypatch):
    fname = save_with_a_class_that_is_not_here(tmp_path)
    content = fname.read_bytes()
    learner = adaptive.SequenceLearner(float, [1, 2, 3])
    files = DataFiles(learner, fname)
    with pytest.raises(DataFileError, match=r"laboratory[\s\S]*importable"):
        files.load()
    assert fname.read_bytes() == content
    assert not set_aside_in(tmp_path)

    more_points(learner, 1)
    for refused in (files.save, files.snapshot):
        with pytest.raises(DataFileError, match=r"Nothing is saved[\s\S]*laboratory"):
            refused()
    assert fname.read_bytes() == content

    monkeypatch.syspath_prepend(str(tmp_path))
    files.load()
    assert learner.npoints == 3


@pytest.mark.system
def test_a_class_that_is_gone_from_its_module_does_not_cost_the_file(tmp_path, monkeypatch):
    fname = save_with_a_class_that_is_not_here(tmp_path)
    (tmp_path / "laboratory.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "laboratory", raising=False)
    with pytest.raises(DataFileError, match="Result"):
        DataFiles(adaptive.SequenceLearner(float, [1, 2, 3]), fname).load()
    assert not set_aside_in(tmp_path)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_an_error_of_the_file_system_changes_nothing(tmp_path, monkeypatch, number):
    fname = tmp_path / "f"
    learner = more_points(KINDS["Learner1D"](), 5)
    DataFiles(learner, fname).save()
    content = fname.read_bytes()
    files = DataFiles(KINDS["Learner1D"](), fname)

    def failing(path):
        raise OSError(number, "what the system says")

    with monkeypatch.context() as context:
        context.setattr("adaptive_scheduler.learners.data_file.open_data", failing)
        with pytest.raises(DataFileError, match=str(fname)):
            files.load()
    with pytest.raises(DataFileError):
        files.save()
    assert fname.read_bytes() == content
    assert names(tmp_path) == ["f"]


def test_too_little_memory_changes_nothing(tmp_path, monkeypatch):
    fname = tmp_path / "f"
    DataFiles(more_points(KINDS["Learner1D"](), 5), fname).save()
    learner = KINDS["Learner1D"]()

    def failing(self, xs, ys):
        super(adaptive.Learner1D, self).tell_many(xs[:3], ys[:3])
        raise MemoryError

    with monkeypatch.context() as context:
        context.setattr(adaptive.Learner1D, "tell_many", failing)
        with pytest.raises(DataFileError, match="memory"):
            DataFiles(learner, fname).load()
    assert knowledge(learner) == knowledge(KINDS["Learner1D"]())
    assert names(tmp_path) == ["f"]


def test_a_folder_in_the_place_of_the_file_is_left_alone(tmp_path):
    (tmp_path / "f" / "sub").mkdir(parents=True)
    with pytest.raises(DataFileError, match="directory"):
        DataFiles(KINDS["Learner1D"](), tmp_path / "f").load()
    assert names(tmp_path) == ["f"]


def test_files_set_aside_before_an_error_are_known_after_it(tmp_path):
    learner = KINDS["BalancingLearner"]()
    fnames = names_for(learner, tmp_path)
    Path(fnames[0]).write_bytes(b"no")
    Path(fnames[1]).mkdir()
    files = DataFiles(learner, fnames)
    with pytest.raises(DataFileError):
        files.load()
    assert [aside.fname for aside in files.set_aside] == [fnames[0]]
    with pytest.raises(DataFileError):
        files.save()


def test_loading_that_was_interrupted_forbids_saving(tmp_path, monkeypatch):
    fname = tmp_path / "f"
    DataFiles(more_points(KINDS["Learner1D"](), 5), fname).save()
    content = fname.read_bytes()
    files = DataFiles(KINDS["Learner1D"](), fname)

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(adaptive.Learner1D, "tell_many", interrupted)
        with pytest.raises(KeyboardInterrupt):
            files.load()
    with pytest.raises(DataFileError):
        files.save()
    assert fname.read_bytes() == content


def test_a_snapshot_from_before_is_not_written_over_what_could_not_be_read(tmp_path):
    files = DataFiles(more_points(KINDS["Learner1D"](), 5), tmp_path / "f")
    snapshot = files.snapshot()
    (tmp_path / "f").mkdir()
    with pytest.raises(DataFileError):
        files.load()
    (tmp_path / "f").rmdir()
    (tmp_path / "f").write_bytes(b"of somebody else")
    with pytest.raises(DataFileError, match="Nothing is saved"):
        files.write(snapshot)
    assert (tmp_path / "f").read_bytes() == b"of somebody else"


# Writing.


def test_only_what_has_changed_is_written(tmp_path, kind):
    learner = more_points(KINDS[kind](), 3)
    fname = names_for(learner, tmp_path)
    files = DataFiles(learner, fname)
    assert files.save() > 0
    assert files.save() == 0
    more_points(learner, 1)
    assert len(files.snapshot().changed) == 1
    assert files.save() > 0

    loaded = KINDS[kind]()
    fresh = DataFiles(loaded, fname)
    fresh.load()
    assert fresh.save() == 0


def test_another_sample_of_a_known_point_is_a_change(tmp_path):
    learner = more_points(KINDS["AverageLearner1D"](), 10)
    files = DataFiles(learner, tmp_path / "f")
    files.save()
    x = next(iter(learner.data))
    npoints = learner.npoints
    learner.tell((10_000, x), 0.3)
    assert learner.npoints == npoints
    assert files.save() > 0


def test_learners_of_the_user_are_always_taken_as_changed(tmp_path):
    class Counting(adaptive.Learner1D):
        pass

    files = DataFiles(Counting(wave, (-1, 1)), tmp_path / "f")
    assert files.save() > 0
    assert files.save() > 0


def test_a_learner_that_had_points_when_it_was_loaded_is_saved_again(tmp_path):
    DataFiles(more_points(KINDS["Learner1D"](), 3), tmp_path / "f").save()
    learner = KINDS["Learner1D"]()
    learner.tell(0.123, 1.0)
    files = DataFiles(learner, tmp_path / "f")
    files.load()
    assert files.save() > 0
    again = KINDS["Learner1D"]()
    DataFiles(again, tmp_path / "f").load()
    assert again.data[0.123] == 1.0


def test_a_snapshot_is_of_its_moment(tmp_path):
    learner = more_points(KINDS["Learner1D"](), 3)
    files = DataFiles(learner, tmp_path / "f")
    snapshot = files.snapshot()
    more_points(learner, 5)
    files.write(snapshot)
    loaded = KINDS["Learner1D"]()
    DataFiles(loaded, tmp_path / "f").load()
    assert loaded.npoints == 3
    assert files.save() > 0


def test_an_older_snapshot_never_replaces_a_newer_one(tmp_path):
    learner = more_points(KINDS["Learner1D"](), 3)
    files = DataFiles(learner, tmp_path / "f")
    old = files.snapshot()
    more_points(learner, 5)
    new = files.snapshot()
    assert files.write(new) > 0
    assert files.write(old) == 0
    loaded = KINDS["Learner1D"]()
    DataFiles(loaded, tmp_path / "f").load()
    assert loaded.npoints == 8
    assert files.save() == 0


def test_write_says_how_many_bytes_it_wrote(tmp_path, kind):
    learner = more_points(KINDS[kind](), 3)
    n_bytes = DataFiles(learner, names_for(learner, tmp_path)).save()
    assert n_bytes == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_values_that_can_not_be_pickled_are_an_error_and_the_file_stays(tmp_path):
    learner = adaptive.SequenceLearner(lambda x: x, [1, 2, 3])
    files = DataFiles(learner, tmp_path / "f")
    learner.tell((0, 1), 1.0)
    files.save()
    content = (tmp_path / "f").read_bytes()
    learner.tell((1, 2), (i for i in range(3)))
    with pytest.raises(DataFileError, match="pickled"):
        files.snapshot()
    assert (tmp_path / "f").read_bytes() == content


FILE_SIZE_LIMIT = """
import resource, signal, sys
import adaptive, numpy as np
from adaptive_scheduler.errors import DataFileError
from adaptive_scheduler.learners.storage import DataFiles

def told(n):
    learner = adaptive.SequenceLearner(abs, range(n))
    learner.tell_many([(i, i) for i in range(n)], np.random.default_rng(0).random(n).tolist())
    return learner

fname = sys.argv[1]
small = told(100)
DataFiles(small, fname).save()
files = DataFiles(told(50_000), fname)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
try:
    files.save()
except DataFileError as error:
    print(error)
old = told(0)
DataFiles(old, fname).load()
assert old.npoints == 100
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert files.save() > 20_000
new = told(0)
DataFiles(new, fname).load()
assert new.npoints == 50_000
"""


@pytest.mark.system
def test_when_a_file_can_not_grow_the_old_one_stays_and_the_points_are_saved_later(tmp_path):
    fname = tmp_path / "f"
    run = subprocess.run(
        [sys.executable, "-c", FILE_SIZE_LIMIT, str(fname)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert str(fname) in run.stdout
    assert "File too large" in run.stdout
    assert names(tmp_path) == ["f"]


@pytest.fixture
def tiny_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.system
def test_on_a_full_disk_the_old_file_stays_and_the_points_are_saved_later(tiny_disk):
    fname = tiny_disk / "f"
    xs = np.random.default_rng(0).random(20_000)
    learner = adaptive.SequenceLearner(abs, xs.tolist())
    learner.tell((0, None), 1.0)
    files = DataFiles(learner, fname)
    files.save()
    learner.tell_many([(i, None) for i in range(len(xs))], xs.tolist())
    with pytest.raises(DataFileError, match="No space left on device"):
        files.save()
    assert names(tiny_disk) == ["f"]
    old = adaptive.SequenceLearner(abs, xs.tolist())
    DataFiles(old, fname).load()
    assert old.npoints == 1

    subprocess.run(["mount", "-o", "remount,size=4m", str(tiny_disk)], check=True)
    assert files.save() > 0
    new = adaptive.SequenceLearner(abs, xs.tolist())
    DataFiles(new, fname).load()
    assert new.npoints == len(xs)


def test_one_file_that_can_not_be_written_does_not_hinder_the_others(tmp_path):
    learner = more_points(KINDS["BalancingLearner"](), 9)
    fnames = names_for(learner, tmp_path)
    files = DataFiles(learner, fnames)
    Path(fnames[0]).mkdir()
    with pytest.raises(DataFileError, match="directory"):
        files.save()
    assert Path(fnames[1]).is_file()
    assert Path(fnames[2]).is_file()
    assert len(files.snapshot().changed) == 1


# Names.


@pytest.mark.parametrize(
    ("kind_of_learner", "fname"),
    [
        ("Learner1D", ["a"]),
        ("BalancingLearner", "abc"),
        ("BalancingLearner", ["a", "b"]),
        ("BalancingLearner", ["a", "b", "a"]),
    ],
)
def test_names_that_do_not_fit_the_learner_are_refused(kind_of_learner, fname):
    with pytest.raises(InvalidInputError):
        DataFiles(KINDS[kind_of_learner](), fname)


def test_a_balancing_learner_of_balancing_learners_is_refused():
    nested = adaptive.BalancingLearner([KINDS["BalancingLearner"]()])
    with pytest.raises(InvalidInputError):
        DataFiles(nested, ["a"])


def test_the_home_folder_and_missing_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    DataFiles(more_points(KINDS["Learner1D"](), 3), "~/new/f").save()
    learner = KINDS["Learner1D"]()
    DataFiles(learner, tmp_path / "new" / "f").load()
    assert learner.npoints == 3


# Many learners.


def test_many_learners_are_saved_and_loaded(tmp_path, kind):
    learners = [more_points(KINDS[kind](), 3) for _ in range(5)]
    fnames = [names_for(learner, tmp_path / str(i)) for i, learner in enumerate(learners)]
    save_parallel(learners, fnames, with_progress_bar=False)
    loaded = [KINDS[kind]() for _ in learners]
    assert load_parallel(loaded, fnames, with_progress_bar=False, max_workers=3) == []
    assert [learner.npoints for learner in loaded] == [learner.npoints for learner in learners]


def test_many_learners_with_a_progress_bar(tmp_path, capsys):
    learners = [more_points(KINDS["Learner1D"](), 3)]
    save_parallel(learners, [tmp_path / "f"])
    load_parallel([KINDS["Learner1D"]()], [tmp_path / "f"])
    assert "Loading" in capsys.readouterr().out


def test_unreadable_files_among_many_are_reported_once(tmp_path):
    fnames = [tmp_path / str(i) for i in range(9)]
    learners = [more_points(KINDS["Learner1D"](), 3) for _ in fnames]
    save_parallel(learners, fnames, with_progress_bar=False)
    for fname in fnames[:7]:
        fname.write_bytes(b"no")
    loaded = [KINDS["Learner1D"]() for _ in fnames]
    with pytest.warns(UserWarning, match=r"kept as[\s\S]*and 2 more"):
        set_aside = load_parallel(loaded, fnames, with_progress_bar=False)
    assert [aside.fname for aside in set_aside] == [str(fname) for fname in fnames[:7]]
    assert [learner.npoints for learner in loaded] == [0] * 7 + [3] * 2


def test_one_error_among_many_stops_no_other(tmp_path):
    fnames = [tmp_path / str(i) for i in range(4)]
    save_parallel(
        [more_points(KINDS["Learner1D"](), 3) for _ in fnames], fnames, with_progress_bar=False
    )
    fnames[0].unlink()
    fnames[0].mkdir()
    loaded = [KINDS["Learner1D"]() for _ in fnames]
    with pytest.raises(DataFileError, match=str(fnames[0])):
        load_parallel(loaded, fnames, with_progress_bar=False)
    assert [learner.npoints for learner in loaded] == [0, 3, 3, 3]
    with pytest.raises(DataFileError, match=str(fnames[0])):
        save_parallel(loaded, fnames, with_progress_bar=False)


def test_learners_and_fnames_of_different_numbers_are_refused(tmp_path):
    with pytest.raises(InvalidInputError):
        load_parallel([KINDS["Learner1D"]()], [], with_progress_bar=False)


# Data that others may have written.


def give_to_another_user(path):
    if os.geteuid() != 0:
        pytest.skip("Only root can give files away.")
    os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)


def test_data_of_another_user_is_loaded_with_one_warning_that_names_them(folder):
    learners = [KINDS["SequenceLearner"]() for _ in range(3)]
    for learner in learners:
        learner.tell((0, learner.sequence[0]), 1.0)
    save_parallel(learners, ["a", "b", "c"], with_progress_bar=False)
    give_to_another_user("a")
    Path("b").chmod(0o646)
    loaded = [learner.new() for learner in learners]
    with pytest.warns(UserWarning, match="others may have written") as said:
        load_parallel(loaded, ["a", "b", "c"], with_progress_bar=False)
    (warning,) = said
    assert "a (nobody)" in str(warning.message)
    assert "b (anybody)" in str(warning.message)
    assert "c (" not in str(warning.message)
    assert warning.filename == __file__
    assert [learner.npoints for learner in loaded] == [1, 1, 1]


def test_data_of_ones_own_is_loaded_without_a_word(folder, recwarn):
    learner = KINDS["SequenceLearner"]()
    learner.tell((0, learner.sequence[0]), 1.0)
    save_parallel([learner], ["a"], with_progress_bar=False)
    load_parallel([learner.new()], ["a"], with_progress_bar=False)
    assert not recwarn.list


def test_data_in_a_trusted_folder_is_loaded_without_a_word(folder, recwarn, monkeypatch):
    learner = KINDS["SequenceLearner"]()
    learner.tell((0, learner.sequence[0]), 1.0)
    save_parallel([learner], ["a"], with_progress_bar=False)
    give_to_another_user("a")
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_TRUST", str(folder))
    load_parallel([learner.new()], ["a"], with_progress_bar=False)
    assert not recwarn.list


def test_a_pipe_in_the_place_of_data_is_left_alone(folder):
    os.mkfifo("a")
    with pytest.raises(DataFileError, match=r"no regular file.*left as it is"):
        load_parallel([KINDS["SequenceLearner"]()], ["a"], with_progress_bar=False)
    assert Path("a").is_fifo()
