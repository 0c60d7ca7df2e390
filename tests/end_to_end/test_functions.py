"""Functions of all kinds reach the jobs, and what they return comes back."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler.scheduler import Local
from tests.end_to_end import programs

EXECUTORS = pytest.mark.parametrize("executor_type", ["process-pool", "loky"])

#: A program whose functions, points and results are of the program itself.
MAIN = """
from dataclasses import dataclass
import adaptive
import beside
from adaptive_scheduler import RunManager
from adaptive_scheduler.scheduler import Local

OFFSET = 10

@dataclass(frozen=True)
class Point:
    x: int

@dataclass(frozen=True)
class Result:
    y: int

class Adder:
    def __init__(self, n):
        self.n = n

    def __call__(self, x):
        return x + self.n

def with_a_global(x):
    return x + OFFSET

def with_a_module(x):
    return beside.double(x) + OFFSET

def of_a_class_to_another(point):
    assert isinstance(point, Point)
    return Result(point.x + OFFSET)

numbers = list(range(4))
learners = [
    adaptive.SequenceLearner(with_a_global, numbers),
    adaptive.SequenceLearner(Adder(5), numbers),
    adaptive.SequenceLearner(beside.double, numbers),
    adaptive.SequenceLearner(with_a_module, numbers),
    adaptive.SequenceLearner(of_a_class_to_another, [Point(x) for x in numbers]),
]
fnames = [f"data/{i}.pickle" for i in range(len(learners))]
scheduler = Local(cores=1, max_cores=2, executor_type="EXECUTOR")
run = RunManager(scheduler, learners, fnames, job_manager_interval=1, quiet=True)
run.start()
run.wait()
run.load_learners()
for learner in learners:
    print(learner.result())
"""

PRINTED = """\
[10, 11, 12, 13]
[5, 6, 7, 8]
[0, 2, 4, 6]
[10, 12, 14, 16]
[Result(y=10), Result(y=11), Result(y=12), Result(y=13)]
"""


@EXECUTORS
def test_functions_and_classes_of_a_script_and_of_a_module_beside_it(here, executor_type):
    (here / "beside.py").write_text("def double(x):\n    return 2 * x\n")
    assert programs.run(MAIN.replace("EXECUTOR", executor_type)) == PRINTED


def test_results_of_a_class_of_the_script_are_loaded_by_the_next_process(here):
    (here / "beside.py").write_text("def double(x):\n    return 2 * x\n")
    text = MAIN.replace("EXECUTOR", "process-pool")
    assert programs.run(text) == programs.run(text) == PRINTED


def power(x, n):
    return x**n


class Power:
    def __init__(self, n):
        self.n = n

    def __call__(self, x):
        return x**self.n

    def method(self, x):
        return self(x)


def make_closure(n):
    return lambda x: x**n


@EXECUTORS
def test_lambdas_partials_closures_methods_and_callable_objects(make_run, executor_type):
    functions = [
        lambda x: x**2,
        partial(power, n=2),
        make_closure(2),
        Power(2),
        Power(2).method,
        partial(lambda n, x: x**n, 2),
    ]
    learners = [adaptive.SequenceLearner(function, list(range(5))) for function in functions]
    run = make_run(learners, scheduler=Local(max_cores=2, executor_type=executor_type))
    run.start()
    run.wait()
    run.load_learners()
    assert [learner.result() for learner in learners] == [[0, 1, 4, 9, 16]] * len(functions)


def test_a_function_over_a_large_array_is_not_sent_with_every_point(make_run):
    # Evaluations of a closure over 40 MB end within the test's time only if it travels once.
    import numpy as np

    array = np.arange(5_000_000.0)
    learner = adaptive.SequenceLearner(lambda i: float(array[i]), list(range(300)))
    run = make_run([learner])
    run.start()
    run.wait()
    run.load_learners()
    assert learner.result() == [float(i) for i in range(300)]
    assert Path("data/0.pickle").stat().st_size < 1_000_000
