"""All learners of a run travel in one file, and each can be taken out by itself."""

from __future__ import annotations

import math
import os
import stat
import subprocess
import sys
import tracemalloc
from functools import partial
from pathlib import Path

import adaptive
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adaptive_scheduler.errors import (
    InvalidInputError,
    RunFolderError,
    UnpicklableError,
    UntrustedFileError,
)
from adaptive_scheduler.learners.pack import (
    Pack,
    check_picklable,
    open_pack,
    replace_learner,
    write_blobs,
    write_pack,
)
from adaptive_scheduler.learners.storage import DataFiles


def line(offset=0.0, xs=()):
    learner = adaptive.Learner1D(partial(math.pow, offset), (-1, 1))
    for x in xs:
        learner.tell(x, x + offset)
    return learner


def sequence(function, xs=(1, 2, 3)):
    return adaptive.SequenceLearner(function, xs)


def hello():
    return "hello"


@pytest.fixture
def path(folder):
    return folder / "x-run" / "learners.pack"


# Whose it is.


def test_nobody_else_can_write_a_pack_whatever_the_umask(path):
    before = os.umask(0)
    try:
        write_pack(path, [line()], ["a"])
        path.chmod(0o666)
        write_pack(path, [line()], ["a"])
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_pack_that_others_can_write_is_not_read_unless_that_is_wanted(path):
    write_pack(path, [line(1.0)], ["a"])
    pack = Pack(path)
    path.chmod(0o666)
    for read in (lambda: Pack(path), lambda: pack.read(0), lambda: pack.fnames):
        with pytest.raises(UntrustedFileError, match="writable by others"):
            read()
    assert Pack(path, trust=True).read(0).fname == "a"


def test_a_pack_is_opened_once_for_all_that_is_read_from_it(path, monkeypatch):
    write_pack(path, [line(1.0), line(2.0)], ["a", "b"])
    opened = []
    true_open = os.open
    monkeypatch.setattr(os, "open", lambda *words: opened.append(words) or true_open(*words))
    with open_pack(path) as file:
        pack = Pack(path, file=file)
        write_pack(path, [line(3.0)], ["c"])  # another one takes its place
        opened.clear()
        assert [pack.read(i).fname for i in range(len(pack))] == pack.fnames == ["a", "b"]
        assert pack.folder == Path.cwd()
        assert not opened
    assert Pack(path).fnames == ["c"]


# What goes in comes out.


def test_each_learner_comes_out_with_its_fname_and_initializer(path):
    learners = [line(offset) for offset in (1.0, 2.0, 3.0)]
    fnames = ["a.pickle", Path("b.pickle"), "sub/c.pickle"]
    n_bytes = write_pack(path, learners, fnames, initializers=[hello, None, print])
    pack = Pack(path)
    assert len(pack) == 3
    assert pack.fnames == ["a.pickle", "b.pickle", "sub/c.pickle"]
    for i, (learner, initializer) in enumerate(zip(learners, [hello, None, print], strict=True)):
        packed = pack.read(i)
        assert packed.fname == pack.fnames[i]
        assert packed.learner.function(2) == learner.function(2)
        assert packed.initializer == initializer
    assert n_bytes == path.stat().st_size


def test_lists_of_fnames_for_balancing_learners(path):
    write_pack(
        path, [adaptive.BalancingLearner([line(), line()])], [[Path("a.pickle"), "b.pickle"]]
    )
    pack = Pack(path)
    assert pack.fnames == [["a.pickle", "b.pickle"]]
    assert pack.read(0).fname == ["a.pickle", "b.pickle"]
    assert len(pack.read(0).learner.learners) == 2


def test_names_may_have_any_characters(path):
    names = ["ünï", "a b$'\"", "\udcff", "x" * 300]
    write_pack(path, [line()] * 4, names)
    assert Pack(path).fnames == names
    assert Pack(path).read(2).fname == "\udcff"


def test_a_run_without_learners(path):
    write_pack(path, [], [])
    assert len(Pack(path)) == 0
    with pytest.raises(IndexError):
        Pack(path).read(0)


@pytest.mark.parametrize("index", [-1, 2])
def test_an_index_out_of_range(path, index):
    write_pack(path, [line(), line()], ["a", "b"])
    with pytest.raises(IndexError, match="0 to 1"):
        Pack(path).read(index)


def test_numbers_that_do_not_match_are_refused(path):
    with pytest.raises(InvalidInputError, match="2 fnames"):
        write_pack(path, [line()], ["a", "b"])
    with pytest.raises(InvalidInputError, match="2 initializers"):
        write_pack(path, [line()], ["a"], initializers=[hello, hello])
    assert not path.exists()


def test_memory_does_not_grow_with_the_number_of_learners(path):
    payload = os.urandom(100_000)
    blobs = (payload[i:] + payload[:i] for i in range(200))
    tracemalloc.start()
    size = write_blobs(path, dict, ["name"] * 200, blobs)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 20_000_000
    assert peak < 2_000_000


# Points.


def test_points_that_lie_in_a_data_file_are_left_out(path):
    learners = [line(i, xs=[0.1, 0.2]) for i in range(3)]
    fnames = ["data/0", "data/1", "2"]
    for learner, fname in zip(learners, fnames, strict=True):
        DataFiles(learner, fname).save()
    write_pack(path, learners, fnames)
    assert [Pack(path).read(i).learner.npoints for i in range(3)] == [0, 0, 0]
    assert [learner.npoints for learner in learners] == [2, 2, 2]


def test_points_without_a_data_file_travel_along(path):
    learners = [line(i, xs=[0.1, 0.2]) for i in range(4)]
    DataFiles(learners[1], "data/1").save()
    Path("data/3").symlink_to("nowhere")
    write_pack(path, learners, ["data/0", "data/1", "elsewhere/2", "data/3"])
    assert [Pack(path).read(i).learner.npoints for i in range(4)] == [2, 0, 2, 2]


def test_points_of_a_balancing_learner_travel_along_if_one_of_its_files_is_missing(path):
    learner = adaptive.BalancingLearner([line(0, xs=[0.1]), line(1, xs=[0.2, 0.3])])
    DataFiles(learner, ["a", "b"]).save()
    write_pack(path, [learner], [["a", "b"]])
    assert Pack(path).read(0).learner.npoints == 0
    Path("b").unlink()
    write_pack(path, [learner], [["a", "b"]])
    assert Pack(path).read(0).learner.npoints == 3


def test_the_home_folder_is_looked_into(path, folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    learner = line(0, xs=[0.1])
    DataFiles(learner, "~/data.pickle").save()
    write_pack(path, [learner], ["~/data.pickle"])
    assert Pack(path).read(0).learner.npoints == 0


def test_learners_that_can_not_be_copied_empty_take_their_points_along(path):
    class Inherited(adaptive.Learner1D):
        """Its ``new`` makes a Learner1D."""

    class Without(adaptive.Learner1D):
        def new(self):
            raise NotImplementedError

    learners = [Inherited(abs, (-1, 1)), Without(abs, (-1, 1))]
    wrapped = adaptive.DataSaver(Inherited(lambda x: {"y": x}, (-1, 1)), lambda result: result["y"])
    for learner in learners:
        learner.tell(0.5, 1.0)
        DataFiles(learner, "data").save()
    wrapped.tell(0.5, {"y": 1.0})
    write_pack(path, [*learners, wrapped], ["data"] * 3)
    pack = Pack(path)
    assert [pack.read(i).learner.npoints for i in range(3)] == [1, 1, 1]
    assert type(pack.read(0).learner).__name__ == "Inherited"
    assert type(pack.read(2).learner.learner).__name__ == "Inherited"


def test_what_was_asked_for_and_never_told_does_not_travel(path):
    learner = sequence(abs)
    learner.ask(2)
    write_pack(path, [learner], ["data"])
    assert len(Pack(path).read(0).learner.ask(3)[0]) == 3


def test_a_job_that_loads_a_learner_from_a_pack_has_all_points(path):
    """What was computed in the notebook and never saved is saved by the job."""
    write_pack(path, [line(0, xs=[0.1, 0.2])], ["data"])
    packed = Pack(path).read(0)
    files = DataFiles(packed.learner, packed.fname)
    files.load()
    assert files.save() > 0
    loaded = line()
    DataFiles(loaded, "data").load()
    assert loaded.npoints == 2


# Functions, from wherever they come.

SCRIPT = """
from __future__ import annotations
import functools, sys
import adaptive
from adaptive_scheduler.learners.pack import write_pack
import beside

factor = 10
class Shift:
    def __init__(self, by): self.by = by
    def __call__(self, x): return x + self.by
    def method(self, x): return x - self.by
def plain(x): return x * factor
def closure(n):
    def inner(x): return plain(x) + n
    return inner
def with_default(x, y=Shift(4)): return y(x)
functions = [plain, closure(3), lambda x: x + factor, functools.partial(lambda a, x: a * x, 7),
             Shift(5), Shift(6).method, functools.partial(with_default, y=Shift(2)), with_default,
             beside.double, beside.Adder(1)]
learners = [adaptive.SequenceLearner(f, [1, 2]) for f in functions]
learners += [adaptive.Learner1D(f, (0, 1)) for f in functions]
write_pack(sys.argv[1], learners, [str(i) for i in range(len(learners))],
           initializers=[functools.partial(setattr, sys, "tried", True)] * len(learners))
"""

JOB = """
import sys
from adaptive_scheduler.learners.pack import Pack
pack = Pack(sys.argv[1])
pack.extend_sys_path()
results = []
for i in range(len(pack)):
    packed = pack.read(i)
    x = (0, 2) if i < len(pack) / 2 else 2
    results.append(packed.learner.function(x))
packed.initializer()
assert sys.tried
print(results)
"""


def run_python(code, *args, cwd):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, *code, *map(str, args)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.system
def test_functions_of_a_script_and_of_modules_beside_it_run_elsewhere(tmp_path):
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    project.mkdir()
    elsewhere.mkdir()
    (project / "script.py").write_text(SCRIPT)
    (project / "beside.py").write_text(
        "def double(x): return 2 * x\n"
        "class Adder:\n"
        "    def __init__(self, n): self.n = n\n"
        "    def __call__(self, x): return x + self.n\n"
    )
    pack = tmp_path / "learners.pack"
    written = run_python(["script.py"], pack, cwd=project)
    assert written.returncode == 0, written.stderr
    job = run_python(["-c", JOB], pack, cwd=elsewhere)
    assert job.returncode == 0, job.stderr
    expected = [20, 23, 12, 14, 7, -4, 4, 6, 4, 3]
    assert job.stdout.strip() == str(expected * 2)


@pytest.mark.system
def test_what_can_not_be_imported_is_named(tmp_path, path):
    (tmp_path / "laboratory.py").write_text("def measure(x): return x\n")
    code = (
        "import adaptive, sys, laboratory\n"
        "from adaptive_scheduler.learners.pack import write_pack\n"
        "learner = adaptive.SequenceLearner(laboratory.measure, [1])\n"
        "write_pack(sys.argv[1], [learner], ['a'], sys_path=[])"
    )
    written = run_python(["-c", code], path, cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    pack = Pack(path)
    assert pack.sys_path == []
    with pytest.raises(UnpicklableError, match=r"Learner 0 [\s\S]*laboratory[\s\S]*PYTHONPATH"):
        pack.read(0)


def test_the_way_to_modules_is_added_once_and_at_the_end(path, folder, monkeypatch):
    monkeypatch.setattr(sys, "path", ["/first", "/second"])
    foreign = ["/x/lib/python3.9", "/x/lib/python39.zip", "/x/lib/python3.9/site-packages"]
    write_pack(path, [line()], ["a"], sys_path=["/second", "/third", *foreign, "", "relative"])
    pack = Pack(path)
    here = [str(folder), str(folder / "relative")]
    assert pack.sys_path == ["/second", "/third", *foreign, *here]
    pack.extend_sys_path()
    pack.extend_sys_path()
    assert sys.path == ["/first", "/second", "/third", *here]


def test_without_being_told_the_present_way_to_modules_is_kept(path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, "/somewhere"])
    write_pack(path, [line()], ["a"])
    assert "/somewhere" in Pack(path).sys_path


# Learners that can't travel.


class Instrument:
    def __init__(self):
        self.port = 7
        self.connection = (i for i in range(3))

    def measure(self, x):
        return x

    def __call__(self, x):
        return x


generator = (i for i in range(3))


def uses_a_global(x):
    return [next(generator) for _ in range(x)]


def closes_over():
    handle = (i for i in range(3))

    def inner(x):
        return next(handle) + x

    return inner


uses_a_global.__module__ = "__main__"  # as in a notebook: sent by value


@pytest.mark.parametrize(
    ("function", "culprit"),
    [
        (partial(pow, (i for i in "")), r"learner\.\w*function\.args\[0\]"),
        (partial(pow, exp=[1, (i for i in "")]), r"keywords\['exp'\]\[1\]"),
        (Instrument(), r"function\.connection"),
        (Instrument().measure, r"__self__\.connection"),
        (partial(Instrument().measure, 3), r"__self__\.connection"),
        (closes_over(), r"handle \(a variable that closes_over.<locals>.inner refers to\)"),
        (uses_a_global, r"generator \(a global variable that uses_a_global uses\)"),
        (lambda x, y=(i for i in ""): [x, y], r"__defaults__\[0\]"),
        (lambda x, *, y=(i for i in ""): [x, y], r"__kwdefaults__\['y'\]"),
    ],
    ids=range(9),
)
def test_the_error_names_the_learner_and_what_is_to_blame(path, function, culprit):
    learners = [line(), adaptive.Learner1D(function, (-1, 1))]
    expected = rf"Learner 1 \('b.pickle'\)[\s\S]*{culprit}[\s\S]* is a generator [\s\S]*initializer"
    with pytest.raises(UnpicklableError, match=expected):
        write_pack(path, learners, ["a.pickle", "b.pickle"])
    assert not path.exists()
    assert not list(path.parent.iterdir())


def test_an_initializer_may_be_to_blame(path):
    with pytest.raises(UnpicklableError, match=r"initializer\.args\[0\]"):
        write_pack(path, [line()], ["a"], initializers=[partial(print, (i for i in ""))])


def test_what_refers_to_itself_is_looked_through_once(path):
    instrument = Instrument()
    instrument.connection = {"me": instrument, "and": [instrument, (i for i in "")]}
    with pytest.raises(UnpicklableError, match=r"connection\['and'\]\[1\]"):
        write_pack(path, [sequence(instrument)], ["a"])


def test_a_learner_can_be_checked_before_all_are_written():
    assert check_picklable(line(), "a.pickle") > 0
    with pytest.raises(UnpicklableError, match=r"Learner 0 \('a.pickle'\)"):
        check_picklable(sequence(Instrument()), Path("a.pickle"))


# Replacing.


def test_one_learner_is_replaced_and_the_others_stay(path):
    write_pack(path, [line(i) for i in (1.0, 2.0, 3.0)], ["a", "b", "c"], initializers=[hello] * 3)
    pack = Pack(path)
    sys_path = pack.sys_path
    replace_learner(path, 1, sequence(math.sqrt))
    assert isinstance(pack.read(1).learner, adaptive.SequenceLearner)
    assert pack.read(1).fname == "b"
    assert pack.read(1).initializer is hello
    assert pack.read(0).learner.function(2) == 1.0
    assert pack.read(2).learner.function(2) == 9.0
    assert pack.fnames == ["a", "b", "c"]
    assert pack.sys_path == sys_path


def test_a_learner_that_can_not_be_replaced_leaves_the_pack(path):
    write_pack(path, [line()], ["a"])
    content = path.read_bytes()
    with pytest.raises(UnpicklableError):
        replace_learner(path, 0, sequence(Instrument()))
    with pytest.raises(IndexError):
        replace_learner(path, 1, line())
    assert path.read_bytes() == content


def test_a_pack_that_is_replaced_while_it_is_open_is_read_as_it_is_now(path):
    write_pack(path, [line(1.0)], ["a"])
    pack = Pack(path)
    write_pack(path, [line(2.0)], ["b"])
    assert pack.read(0).learner.function(3) == 8.0
    assert pack.fnames == ["b"]


# Damage.


def test_no_pack_at_all(tmp_path):
    with pytest.raises(RunFolderError, match="does not exist"):
        Pack(tmp_path / "none")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunFolderError, match="directory"):
        Pack(tmp_path / "folder")


@pytest.mark.parametrize("content", [b"", b"hello", bytes(1000), b"ASPACK\x00\x63" + bytes(100)])
def test_another_file_is_no_pack(tmp_path, content):
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(RunFolderError):
        Pack(tmp_path / "f")


def test_a_pack_that_is_gone(path):
    write_pack(path, [line()], ["a"])
    pack = Pack(path)
    path.unlink()
    for read in (lambda: pack.read(0), lambda: pack.fnames):
        with pytest.raises(RunFolderError, match="does not exist"):
            read()


def whole_pack(path):
    write_pack(path, [line(i) for i in (1.0, 2.0)], ["first", "second"], sys_path=["/x"])
    return path.read_bytes()


def read_everything(path):
    pack = Pack(path)
    learners = [pack.read(i) for i in range(len(pack))]
    functions = [packed.learner.function(2) for packed in learners]
    return pack.fnames, pack.sys_path, pack.folder, [p.fname for p in learners], functions


@given(share=st.floats(0, 1, exclude_max=True))
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_a_pack_cut_at_any_byte_is_noticed_at_once(tmp_path_factory, share):
    path = tmp_path_factory.mktemp("pack") / "f"
    content = whole_pack(path)
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(RunFolderError):
        Pack(path)


@given(share=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_any_damaged_byte_is_noticed(tmp_path_factory, share, flip):
    path = tmp_path_factory.mktemp("pack") / "f"
    content = bytearray(whole_pack(path))
    content[int(share * len(content))] ^= flip
    path.write_bytes(content)
    with pytest.raises(RunFolderError):
        read_everything(path)


def test_a_damaged_learner_does_not_hinder_the_others(path):
    content = bytearray(whole_pack(path))
    content[content.index(b"second")] ^= 1  # in the learner's own bytes
    path.write_bytes(content)
    assert Pack(path).read(0).fname == "first"
    with pytest.raises(RunFolderError, match="damaged"):
        Pack(path).read(1)
