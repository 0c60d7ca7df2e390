"""A large Learner1D loads quickly, and is what adaptive's own loading makes of it."""

from __future__ import annotations

import math
import operator
import pickle

import adaptive
import numpy as np
import pytest
from adaptive.learner.learner1D import curvature_loss_function, uniform_loss
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptive_scheduler.learners import contents
from adaptive_scheduler.learners.storage import DataFiles


def state(learner):
    """Everything that decides what a Learner1D does next."""
    return {
        "data": [(x, np.atleast_1d(y).tolist(), type(y)) for x, y in learner.data.items()],
        "losses": list(learner.losses.items()),
        "losses_combined": list(learner.losses_combined.items()),
        "neighbors": dict(learner.neighbors),
        "neighbors_combined": dict(learner.neighbors_combined),
        "scale": np.array([*learner._scale, *learner._oldscale]).tolist(),
        "bbox": [np.atleast_1d(b).tolist() for side in learner._bbox for b in side],
        "pending": learner.pending_points,
        "vdim": learner.vdim,
        "loss": learner.loss(),
        "ask": learner.ask(30, tell_pending=False),
    }


def both_ways(new, data):
    quick, plain = new(), new()
    assert contents.can_be_told_in_turn(quick, data)
    contents.tell_in_turn(quick, data)
    plain._set_data(data)
    return quick, plain


@pytest.fixture(autouse=True)
def few_points_are_many(monkeypatch):
    monkeypatch.setattr(contents, "_MANY_POINTS", 3)


finite = st.floats(-1e3, 1e3, allow_subnormal=False)


@given(
    xs=st.lists(st.floats(-1, 1), min_size=3, max_size=40, unique=True),
    ys=st.lists(finite | st.integers(-9, 9), min_size=40, max_size=40),
    loss=st.sampled_from([None, uniform_loss, curvature_loss_function()]),
)
@settings(max_examples=3 * settings.default.max_examples)
def test_scalars_lead_to_the_same_state(xs, ys, loss):
    quick, plain = both_ways(
        lambda: adaptive.Learner1D(math.sin, (-1, 1), loss), dict(zip(xs, ys, strict=False))
    )
    assert state(quick) == state(plain)


@given(
    xs=st.lists(st.floats(-1, 1), min_size=3, max_size=20, unique=True),
    ys=st.lists(st.tuples(finite, finite, finite).map(np.array), min_size=20, max_size=20),
)
def test_vectors_lead_to_the_same_state(xs, ys):
    quick, plain = both_ways(
        lambda: adaptive.Learner1D(math.sin, (-1, 1)), dict(zip(xs, ys, strict=False))
    )
    assert state(quick) == state(plain)


@pytest.mark.parametrize(
    "function", [lambda x: math.tanh(20 * x), lambda x: np.array([x, math.exp(x)]), lambda _: 1.0]
)
def test_points_that_a_runner_chose_lead_to_the_same_state(function):
    learner = adaptive.Learner1D(function, (-1, 1))
    adaptive.runner.simple(learner, npoints_goal=300)
    quick, plain = both_ways(learner.new, learner.data)
    assert state(quick) == state(plain)
    for _ in range(50):
        for each in (quick, plain):
            (x,), _ = each.ask(1)
            each.tell(x, function(x))
    assert state(quick) == state(plain)


UNFIT = {
    "out of bounds": {-1.5: 0.0, 0.0: 1.0, 1.0: 2.0, 0.5: 0.0},
    "nan": {-1.0: 0.0, 0.0: math.nan, 1.0: 2.0, 0.5: 0.0},
    "nan as x": {-1.0: 0.0, math.nan: 1.0, 1.0: 2.0, 0.5: 0.0},
    "inf": {-1.0: 0.0, 0.0: math.inf, 1.0: 2.0, 0.5: 0.0},
    "huge integers": {-1.0: 0, 0.0: 10**400, 1.0: 2, 0.5: 0},
    "single precision": {x: np.float32(x) for x in (-1.0, 0.0, 1.0, 0.5)},
    "complex": {x: x * 1j for x in (-1.0, 0.0, 1.0, 0.5)},
    "lists": {x: [x, x] for x in (-1.0, 0.0, 1.0, 0.5)},
    "vectors of one": {x: np.array([x]) for x in (-1.0, 0.0, 1.0, 0.5)},
    "vectors of two lengths": {-1.0: np.ones(2), 0.0: np.ones(3), 1.0: np.ones(2)},
    "matrices": {x: np.ones((2, 2)) for x in (-1.0, 0.0, 1.0, 0.5)},
    "scalars and vectors": {-1.0: 1.0, 0.0: np.ones(3), 1.0: np.ones(2)},
    "words": {"a": 1.0, "b": 2.0, "c": 3.0},
    "a list": [1, 2, 3, 4],
}


@pytest.mark.parametrize("data", UNFIT.values(), ids=UNFIT.keys())
def test_what_tell_would_change_is_left_to_adaptive(data):
    assert not contents.can_be_told_in_turn(adaptive.Learner1D(math.sin, (-1, 1)), data)


def test_learners_that_are_not_empty_or_not_quite_a_learner1d_are_left_to_adaptive():
    data = {-1.0: 0.0, 0.0: 1.0, 1.0: 2.0, 0.5: 0.0}

    class Telling(adaptive.Learner1D):
        def tell(self, x, y):
            super().tell(x, y + 1)

    with_point = adaptive.Learner1D(math.sin, (-1, 1))
    with_point.tell(0.3, 0.0)
    with_pending = adaptive.Learner1D(math.sin, (-1, 1))
    with_pending.ask(3)
    unfit = (
        Telling(math.sin, (-1, 1)),
        adaptive.AverageLearner1D(math.sin, (-1, 1)),
        adaptive.SequenceLearner(math.sin, [1, 2]),
        with_point,
        with_pending,
    )
    assert not any(contents.can_be_told_in_turn(learner, data) for learner in unfit)
    assert contents.can_be_told_in_turn(adaptive.Learner1D(math.sin, (-1, 1)), data)


@pytest.mark.parametrize("wrapped", ["alone", "in a DataSaver", "in a BalancingLearner"])
def test_data_files_load_that_way(tmp_path, monkeypatch, wrapped):
    def new():
        return adaptive.Learner1D(math.sin, (-1, 1))

    def new_wrapped():
        if wrapped == "in a DataSaver":
            return adaptive.DataSaver(new(), operator.itemgetter("y"))
        return adaptive.BalancingLearner([new()]) if "Balancing" in wrapped else new()

    def innermost(learner):
        if isinstance(learner, adaptive.BalancingLearner):
            return learner.learners[0]
        return learner.learner if isinstance(learner, adaptive.DataSaver) else learner

    data = {x: math.sin(9 * x) for x in np.linspace(-1, 1, 100).tolist()}
    content = (data, {x: {"y": y} for x, y in data.items()}) if "Saver" in wrapped else data
    (tmp_path / "f").write_bytes(pickle.dumps(content))
    fname = [tmp_path / "f"] if "Balancing" in wrapped else tmp_path / "f"

    plain = new_wrapped()
    plain.load([str(tmp_path / "f")] if "Balancing" in wrapped else tmp_path / "f", compress=False)
    calls = []
    tell_in_turn = contents.tell_in_turn
    monkeypatch.setattr(
        contents, "tell_in_turn", lambda *args: (calls.append(args), tell_in_turn(*args))
    )
    quick = new_wrapped()
    DataFiles(quick, fname).load()
    assert calls
    assert state(innermost(quick)) == state(innermost(plain))


def test_only_the_points_that_span_the_data_are_told_at_once(monkeypatch):
    """What adaptive does with points that are told at once takes n² steps for n of them."""
    sizes = []
    tell_many = adaptive.Learner1D.tell_many

    def spy(self, xs, ys, *, force=False):
        sizes.append(len(xs))
        tell_many(self, xs, ys, force=force)

    monkeypatch.setattr(adaptive.Learner1D, "tell_many", spy)
    data = {x: np.array([math.sin(9 * x), x**2]) for x in np.linspace(-1, 1, 500).tolist()}
    contents.tell_in_turn(adaptive.Learner1D(math.sin, (-1, 1)), data)
    assert len(sizes) == 1
    assert sizes[0] <= 2 + 2 * 2
