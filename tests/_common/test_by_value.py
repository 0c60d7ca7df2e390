"""Tracebacks of functions that travel by value show the user's file, line and source."""

from __future__ import annotations

import json
import linecache
import pickle
import subprocess
import sys
import traceback
from functools import partial
from pathlib import Path

import adaptive
import cloudpickle
import pytest

from adaptive_scheduler._common import by_value
from adaptive_scheduler._common.by_value import SourceFiles
from adaptive_scheduler.executors.worker import ByValue
from adaptive_scheduler.futures.calls import Call, Calls, outcome_of
from adaptive_scheduler.learners.caching import LRUCachedCallable
from adaptive_scheduler.learners.learner_files import cloudpickle_learners, fname_to_learner_fname
from adaptive_scheduler.learners.pack import Pack, replace_learner, write_pack
from adaptive_scheduler.learners.wrapped import WrappedFunction
from adaptive_scheduler.run_folder.functions import Functions
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.run_folder.spec import RunSpec
from adaptive_scheduler.scheduler import Local
from tests.executors.opening import users_script

pytestmark = pytest.mark.system

#: What code of notebooks and scripts is said to come from.
NAMES = [
    "/tmp/ipykernel_4242/1234567890.py",
    "<ipython-input-3-0123456789ab>",
    "/home/somebody/project/script.py",
]

CELL = """\
import math

def measure(x):
    return helper(x)

def helper(x):
    depth = math.sqrt(x)  # needs a positive number
    return depth

class Detector:
    def __call__(self, x):
        return measure(x)
"""

#: What a traceback shows of them.
FRAMES = """\
  File "{name}", line 4, in measure
    return helper(x)
"""
INNERMOST = """\
  File "{name}", line 7, in helper
    depth = math.sqrt(x)  # needs a positive number
"""


@pytest.fixture
def name(request):
    name = getattr(request, "param", NAMES[0])
    yield name
    linecache.cache.pop(name, None)


@pytest.fixture
def cell(name):
    """Return what a cell of this name defines, as IPython runs it."""
    linecache.cache[name] = (len(CELL), None, CELL.splitlines(keepends=True), name)
    return users_script(CELL, name)


def shows_source(text, name):
    # Newer Pythons mark places within a line.
    lines = [line for line in text.splitlines(keepends=True) if line.strip(" ~^\n")]
    text = "".join(lines)
    return FRAMES.format(name=name) in text and INNERMOST.format(name=name) in text


#: Loads something in the way that is asked for, calls it, and prints the traceback.
ELSEWHERE = """
import pickle, sys, traceback
path, look = sys.argv[1:]
try:
    exec(look, globals())
except ValueError:
    traceback.print_exc(file=sys.stdout)
"""


def traceback_elsewhere(path, look):
    """Return the traceback of what `look` raises in a process that knows nothing."""
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(path), look],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


LOAD = "pickle.load(open(path, 'rb'))(-1)"
READ = "from adaptive_scheduler.learners.pack import Pack; Pack(path).read({}).learner.function({})"


# The mechanism.


@pytest.mark.parametrize("name", NAMES, indirect=True)
def test_by_itself(cell, name, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(by_value.dumps(cell.measure))
    assert shows_source(traceback_elsewhere(path, LOAD), name)


def test_in_another_function(cell, name, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(by_value.dumps(partial(lambda f, x: f(x), cell.measure)))
    assert shows_source(traceback_elsewhere(path, LOAD), name)


def test_methods_of_the_users_classes(cell, name, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(by_value.dumps(cell.Detector()))
    assert shows_source(traceback_elsewhere(path, LOAD), name)


def test_many_pickles_share_the_lines(cell, name):
    files = SourceFiles()
    contents = [files.dumps(f) for f in (cell.measure, cell.helper, len)]
    assert files.names == {name}
    assert files.lines() == {name: CELL.splitlines(keepends=True)}
    assert not any(b"positive" in content for content in contents)
    assert pickle.dumps(files).count(b"positive") == 1


def test_an_outer_pickle_has_the_lines_of_all_inner_ones(cell, name):
    inner = SourceFiles()
    inner.dumps(cell.measure)
    outer = SourceFiles()
    content = outer.dumps([inner, 1])
    assert outer.names == {name}
    assert b"positive" not in content
    assert pickle.loads(content)[0].names == {name}


@pytest.mark.parametrize("value", [3, {"a": [1.0, None]}, len])
def test_what_has_no_code_has_no_source(value):
    assert by_value.dumps(value) == cloudpickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    assert pickle.loads(by_value.dumps(value)) == value


def test_code_whose_source_nobody_knows_travels_too(tmp_path):
    script = users_script("def measure(x): return 1 / 0", "<nowhere>")
    loaded = pickle.loads(by_value.dumps(script.measure))
    with pytest.raises(ZeroDivisionError) as caught:
        loaded(1)
    assert '"<nowhere>", line 1, in measure' in "".join(traceback.format_exception(caught.value))


def test_other_uses_of_cloudpickle_are_as_they_were(cell):
    program = (
        "import sys, cloudpickle\n"
        f"exec(compile({CELL!r}, '/some/cell', 'exec'))\n"
        "before = cloudpickle.dumps(measure)\n"
        "from adaptive_scheduler._common import by_value\n"
        "assert b'_named_code' in by_value.dumps(measure)\n"
        "assert cloudpickle.dumps(measure) == before\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_error_leaves_no_trace(cell):
    with pytest.raises(TypeError):
        by_value.dumps([cell.measure, (i for i in "")])
    assert b"_named_code" not in cloudpickle.dumps(cell.measure)


# Which lines count.


def test_a_script_that_was_edited_since_is_shown_as_it_ran(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(CELL)
    content = by_value.dumps(users_script(CELL, str(script)).measure)
    script.write_text("# a new first line\n" * 3 + CELL.replace("positive", "large"))
    path = tmp_path / "f"
    path.write_bytes(content)
    assert shows_source(traceback_elsewhere(path, LOAD), str(script))


def test_a_script_that_was_edited_before_it_is_sent_is_read_anew(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("# the first attempt\n")
    assert linecache.getlines(str(script))
    script.write_text(CELL)
    path = tmp_path / "f"
    path.write_bytes(by_value.dumps(users_script(CELL, str(script)).measure))
    script.unlink()
    assert shows_source(traceback_elsewhere(path, LOAD), str(script))


def test_modules_of_this_process_keep_their_own_lines():
    mine = Path(__file__).read_text().splitlines(keepends=True)
    by_value.show_lines({__file__: ["something else\n"]})
    assert linecache.getlines(__file__) == mine


def test_lines_with_form_feeds_are_counted_as_python_does(tmp_path):
    text = "# one\f\n# two \x85 \u2028\n" + CELL
    script = tmp_path / "script.py"
    script.write_text(text)
    path = tmp_path / "f"
    path.write_bytes(by_value.dumps(users_script(text, str(script)).measure))
    script.unlink()
    shown = traceback_elsewhere(path, LOAD)
    assert f'"{script}", line 9, in helper\n    depth = math.sqrt(x)' in shown


# All ways from the notebook to where the function is called.


def learners_of(function):
    inner = adaptive.SequenceLearner(function, [-1])
    return [
        (adaptive.Learner1D(function, (-1, 1)), "-1"),
        (adaptive.SequenceLearner(function, [-1]), "(0, -1)"),
        (adaptive.BalancingLearner([inner]), "(0, (0, -1))"),
        (adaptive.DataSaver(adaptive.Learner1D(function, (-1, 1)), len), "-1"),
        (adaptive.LearnerND(function, [(-1, 1)] * 2), "-1"),
        (adaptive.Learner2D(function, [(-1, 1)] * 2), "-1"),
        (adaptive.IntegratorLearner(function, (-1, 1), 1e-3), "-1"),
        (adaptive.AverageLearner(function, atol=0.1), "-1"),
    ]


def test_every_kind_of_learner(cell, name, tmp_path):
    learners, points = zip(*learners_of(cell.measure), strict=True)
    path = tmp_path / "learners.pack"
    names = [["x"] if isinstance(each, adaptive.BalancingLearner) else "x" for each in learners]
    write_pack(path, learners, names)
    look = "from adaptive_scheduler.learners.pack import Pack\n"
    for index, point in enumerate(points):
        look += f"try: Pack(path).read({index}).learner.function({point})\n"
        look += "except ValueError: traceback.print_exc(file=sys.stdout); print('---')\n"
    *shown, _ = traceback_elsewhere(path, look).split("---")
    assert [shows_source(text, name) for text in shown] == [True] * len(learners)


def test_a_pack_has_the_lines_once(cell, name, tmp_path):
    path = tmp_path / "learners.pack"
    n = 200
    learners = [adaptive.Learner1D(partial(cell.measure, i), (-1, 1)) for i in range(n)]
    write_pack(path, learners, [f"{i}" for i in range(n)])
    assert path.read_bytes().count(b"needs a positive number") == 1


def test_a_learner_that_replaces_another_brings_its_lines(cell, name, tmp_path):
    path = tmp_path / "learners.pack"
    write_pack(path, [adaptive.Learner1D(abs, (-1, 1))] * 2, ["a", "b"])
    pack = Pack(path)
    pack.read(0)
    replace_learner(path, 1, adaptive.Learner1D(cell.measure, (-1, 1)))
    linecache.cache.pop(name)
    pack.read(0)
    assert linecache.getlines(name) == CELL.splitlines(keepends=True)
    assert shows_source(traceback_elsewhere(path, READ.format(1, -1)), name)


@pytest.mark.parametrize("mode", ["memory", "random_id", "file"])
def test_a_function_that_is_wrapped(cell, name, tmp_path, mode):
    path = tmp_path / "learners.pack"
    wrapped = WrappedFunction(cell.measure, mode=mode)
    pickle.dumps(wrapped)  # it keeps what it has pickled
    write_pack(path, [adaptive.Learner1D(wrapped, (-1, 1))], ["a"])
    assert shows_source(traceback_elsewhere(path, READ.format(0, -1)), name)


def test_a_function_that_remembers(cell, name, tmp_path):
    path = tmp_path / "learners.pack"
    remembering = LRUCachedCallable(cell.measure)
    write_pack(path, [adaptive.Learner1D(remembering, (-1, 1))], ["a"])
    assert shows_source(traceback_elsewhere(path, READ.format(0, -1)), name)


def test_a_learner_in_a_file_of_its_own(cell, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cloudpickle_learners([adaptive.Learner1D(cell.measure, (-1, 1))], ["a"])
    look = "pickle.load(open(path, 'rb'))[0].function(-1)"
    assert shows_source(traceback_elsewhere(fname_to_learner_fname("a"), look), name)


def test_from_the_job_to_its_workers(cell, name, tmp_path):
    """A job that has a learner from a pack sends its function on."""
    path = tmp_path / "learners.pack"
    write_pack(path, [adaptive.Learner1D(cell.measure, (-1, 1))], ["a"])
    job = (
        "import json, pathlib\n"
        "from adaptive_scheduler.learners.pack import Pack\n"
        "from adaptive_scheduler.executors.worker import Preparation\n"
        "function = Pack(path).read(0).learner.function\n"
        "content = pickle.dumps(Preparation.of(function, None))\n"
        "pathlib.Path(path).with_name('preparation').write_bytes(content)\n"
    )
    assert traceback_elsewhere(path, job) == ""
    worker = (
        "from adaptive_scheduler.executors.worker import FunctionError, evaluate\n"
        "pickle.load(open(path, 'rb')).apply()\n"
        "try: evaluate(-1)\n"
        "except FunctionError as error: print(error.traceback_text)"
    )
    assert shows_source(traceback_elsewhere(tmp_path / "preparation", worker), name)


def test_points_and_results_that_are_functions(cell, name, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(pickle.dumps(ByValue(cell.measure)))
    assert shows_source(traceback_elsewhere(path, LOAD), name)


def test_the_goal_of_a_run(cell, name, tmp_path):
    path = tmp_path / "functions.pickle"
    spec = RunSpec(run_folder=RunFolder.at(tmp_path), goal=cell.measure)
    path.write_bytes(Functions.of(spec, Local()).to_bytes())
    (tmp_path / "spec.json").write_bytes(spec.to_json())
    job = (
        "from pathlib import Path\n"
        "from adaptive_scheduler.client_support.job import read_spec\n"
        "read_spec(Path(path).parent).goal(-1)"
    )
    path.chmod(0o600)
    assert shows_source(traceback_elsewhere(path, job), name)


def test_calls_and_functions_among_their_arguments(cell, name, tmp_path):
    def apply(function, x):
        return function(x)

    files = SourceFiles()
    call = Call(0, files.dumps(((cell.measure, -1), {})))
    calls = Calls([files.dumps((apply,))], files)
    path = tmp_path / "learners.pack"
    write_pack(path, [adaptive.SequenceLearner(calls, [call])], ["a"])
    job = (
        "from adaptive_scheduler.learners.pack import Pack\n"
        "learner = Pack(path).read(0).learner\n"
        "outcome = learner.function((0, learner.sequence[0]))\n"
        "print(json.dumps(list(outcome)))"
    )
    outcome = bytes(json.loads(traceback_elsewhere(path, "import json\n" + job)))
    assert b"positive" in outcome  # in the text of the traceback
    _, error = outcome_of(outcome)
    text = "".join(traceback.format_exception(error))
    assert shows_source(text, name)
    assert "    return function(x)\n" in text
