"""The curve of a run is kept, and stays short."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.run_folder.history import History, Sample, read_history


def sample(time, npoints=0):
    return Sample(time, npoints, None, 0, 1, 0, 0.0)


def times(history):
    return [s.time for s in history.samples]


def test_the_newest_sample_is_always_there_and_the_others_have_their_distance():
    history = History()
    for time in (0.0, 0.4, 0.8, 1.2, 1.6, 2.0, 2.4):
        history.add(sample(time))
    assert times(history) == [0.0, 1.2, 2.4]


@given(st.lists(st.floats(0, 1e4), max_size=300), st.integers(4, 20))
def test_a_history_never_grows_and_keeps_its_ends(pauses, max_samples):
    history, time = History(max_samples=max_samples), 0.0
    history.add(sample(time))
    for pause in pauses:
        time += pause
        history.add(sample(time))
    assert len(history.samples) <= max_samples
    assert times(history) == sorted(times(history))
    assert times(history)[0] == 0.0
    assert times(history)[-1] == time


def test_a_long_run_is_spread_evenly():
    history = History(max_samples=100)
    for time in range(100_000):
        history.add(sample(float(time)))
    gaps = [b - a for a, b in zip(times(history)[:-2], times(history)[1:-1], strict=True)]
    assert 50 <= len(history.samples) <= 100
    assert max(gaps) <= 4 * 100_000 / 100


def test_a_clock_that_goes_back_is_waited_for():
    history = History([sample(10.0), sample(5.0), sample(12.0)])
    assert times(history) == [10.0, 12.0]


def test_a_history_is_read_as_it_was_written(tmp_path):
    history = History([sample(float(t), npoints=t) for t in range(0, 50, 2)])
    history.write(tmp_path / "history.json")
    assert read_history(tmp_path / "history.json").samples == history.samples


@pytest.mark.parametrize("content", [None, b"", b"[[1,", b"\xff", b'{"a": 1}'])
def test_a_history_that_cannot_be_read_begins_anew(tmp_path, content):
    path = tmp_path / "history.json"
    if content is not None:
        path.write_bytes(content)
    assert read_history(path).samples == []
