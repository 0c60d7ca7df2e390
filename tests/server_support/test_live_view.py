"""What somebody sees who waits for a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adaptive_scheduler.server_support.info import RunInfo
from adaptive_scheduler.server_support.live_view import watch

START = RunInfo(
    name="sweep",
    folder="/sweep-run",
    status="running",
    n_learners=3,
    n_done=0,
    n_running=1,
    n_ready=2,
    n_waiting=0,
    n_failed=0,
    jobs_running=1,
    jobs_pending=0,
    elapsed_time=1.0,
    npoints=0,
)
END = replace(START, n_done=3, n_running=0, n_ready=0, status="finished")
STEPS = [START, replace(START, npoints=5), END]


def play(steps):
    """Wait for a run that goes through these steps; return what `watch` returns."""
    seen = iter(steps)
    left = iter(range(len(steps) - 1, -1, -1))
    return watch(lambda: next(seen), lambda _: next(left) == 0, None)


def test_where_no_terminal_is_a_line_tells_what_is_new(capsys):
    assert play(STEPS)
    printed = capsys.readouterr()
    assert printed.out == ""
    first, folder, last, folder_again = printed.err.splitlines()
    assert first.startswith("sweep running 1 s: 0/3 learners done")
    assert last.startswith("sweep finished 1 s: 3/3 learners done")
    assert folder == folder_again == "  folder: /sweep-run"


def test_a_terminal_keeps_the_last_picture(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    assert play(STEPS)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "3 done" in printed.err
    assert "finished" in printed.err.rpartition("running")[2]


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_whoever_has_waited_long_enough_sees_how_it_is_and_goes(capsys, timeout):
    assert not watch(lambda: START, lambda _: False, timeout)
    assert "running" in capsys.readouterr().err
