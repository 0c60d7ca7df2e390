"""How far a learner is, and what its job uses, in figures that can be sent and read."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from operator import itemgetter
from types import SimpleNamespace

import adaptive
import numpy as np
import psutil
import pytest

from adaptive_scheduler.client_support import figures as figures_module
from adaptive_scheduler.client_support.figures import (
    Usage,
    latest_loss,
    learner_figures,
    runner_figures,
)
from tests.waiting import wait_until


def wave(x):
    return float(np.tanh(8 * np.sum(x)))


def with_extra(x):
    return {"y": wave(x)}


def noisy(seed_x):
    return wave(seed_x[1])


KINDS = {
    "Learner1D": lambda: adaptive.Learner1D(wave, (-1, 1)),
    "Learner2D": lambda: adaptive.Learner2D(wave, [(-1, 1), (-1, 1)]),
    "LearnerND": lambda: adaptive.LearnerND(wave, [(-1, 1)] * 3),
    "SequenceLearner": lambda: adaptive.SequenceLearner(wave, list(range(50))),
    "AverageLearner": lambda: adaptive.AverageLearner(wave, atol=0.01),
    "AverageLearner1D": lambda: adaptive.AverageLearner1D(noisy, (-1, 1)),
    "IntegratorLearner": lambda: adaptive.IntegratorLearner(wave, (-1, 1), tol=1e-8),
    "DataSaver": lambda: adaptive.DataSaver(
        adaptive.Learner1D(with_extra, (-1, 1)), itemgetter("y")
    ),
    "BalancingLearner": lambda: adaptive.BalancingLearner(
        [adaptive.Learner1D(wave, (-1, 1 + i)) for i in range(3)]
    ),
}


@pytest.fixture(params=KINDS)
def learner(request):
    return KINDS[request.param]()


def evaluate(learner, n):
    for _ in range(n):
        points, _ = learner.ask(1)
        for point in points:
            learner.tell(point, learner.function(point))


def as_read(figures):
    """Return figures as who reads the log gets them; they must be JSON that all programs know."""
    return json.loads(json.dumps(figures, allow_nan=False))


# Learners.


@pytest.mark.parametrize("n_points", [0, 1, 2, 40])
def test_every_learner_has_figures_from_its_first_point_on(learner, n_points):
    evaluate(learner, n_points)
    figures = learner_figures(learner)
    assert as_read(figures) == figures
    assert figures["npoints"] == learner.npoints
    assert figures["latest_loss"] is None or math.isfinite(figures["latest_loss"])


def test_a_learner_with_points_has_a_loss():
    learner = KINDS["Learner1D"]()
    assert latest_loss(learner) is None
    evaluate(learner, 10)
    assert latest_loss(learner) == learner.loss()


def test_the_children_of_a_balancing_learner_are_counted():
    learner = KINDS["BalancingLearner"]()
    evaluate(learner, 12)
    figures = learner_figures(learner)
    assert (figures["nlearners"], figures["npoints/learner"]) == (3, 4.0)
    assert "nlearners" not in learner_figures(KINDS["Learner1D"]())


# Runners.


def runner(learner, *, elapsed=2.0, overhead=5.0):
    return SimpleNamespace(learner=learner, elapsed_time=lambda: elapsed, overhead=lambda: overhead)


def test_points_of_earlier_attempts_do_not_count_for_the_speed():
    learner = KINDS["Learner1D"]()
    evaluate(learner, 30)
    figures = runner_figures(runner(learner), npoints_start=20)
    assert figures["npoints"] == 30
    assert figures["npoints/s"] == 5.0
    assert (figures["elapsed_time"], figures["overhead"]) == (2.0, 5.0)


def test_a_runner_that_has_just_begun_has_figures():
    figures = runner_figures(
        runner(KINDS["Learner1D"](), elapsed=0.0, overhead=math.nan), npoints_start=0
    )
    assert (figures["npoints/s"], figures["overhead"]) == (0.0, None)
    assert as_read(figures) == figures


# Usage.


def test_usage_is_told_in_plain_figures():
    figures = Usage().figures()
    assert as_read(figures) == figures
    assert set(figures) == {"cpu_usage", "mem_usage", "cputimes.user", "cputimes.system"}
    assert figures["mem_usage"] > 0
    assert figures["cputimes.user"] > 0


@pytest.fixture
def busy_worker():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as worker:
        yield worker
        worker.kill()


@pytest.mark.system
@pytest.mark.usefixtures("busy_worker")
def test_work_of_workers_counts():
    usage = Usage()
    before = usage.figures()["cputimes.user"]
    wait_until(lambda: usage.figures()["cputimes.user"] >= before + 0.1)


@pytest.mark.system
def test_a_worker_that_ends_makes_no_usage_negative(busy_worker):
    usage = Usage()
    wait_until(lambda: usage.figures()["cputimes.user"] > 0)
    busy_worker.kill()
    busy_worker.wait()
    assert usage.figures()["cpu_usage"] >= 0


@pytest.mark.system
@pytest.mark.usefixtures("busy_worker")
def test_only_the_family_is_looked_at(monkeypatch):
    monkeypatch.setattr(psutil, "pids", lambda: 1 / 0)  # all processes of the host
    assert Usage().figures()["mem_usage"] > 0


@pytest.mark.system
def test_children_of_every_thread_are_found():
    inner = (
        "import subprocess, sys, threading;"
        "start = lambda: children.append(subprocess.Popen(['sleep', '60']));"
        "children = [];"
        "threads = [threading.Thread(target=lambda: (start(), stay.wait())) for _ in range(2)];"
        "stay = threading.Event();"
        "[thread.start() for thread in threads];"
        "print(flush=True);"
        "sys.stdin.read();"
        "[child.kill() for child in children]; stay.set()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    before = set(figures_module._family())  # earlier tests may have left what tidies up in the end
    with subprocess.Popen([sys.executable, "-c", inner], **pipes) as process:
        process.stdout.read(1)
        wait_until(lambda: len(set(figures_module._family()) - before) == 3)
        process.stdin.close()
