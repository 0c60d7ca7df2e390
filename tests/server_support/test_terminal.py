"""How a run looks on a terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from adaptive_scheduler.server_support.info import THIS_PROCESS, Failure, RunInfo, as_line
from adaptive_scheduler.server_support.terminal import RunDrawing, shares, watch


def info(**changes):
    return RunInfo(
        **{
            "name": "sweep",
            "folder": "/scratch/me/sweep-run",
            "status": "running",
            "as_of": 1000.0,
            "manager": THIS_PROCESS,
            "counts": {"done": 12, "running": 4, "ready": 3, "failed": 1},
            "jobs_running": 4,
            "jobs_pending": 2,
            "elapsed_time": 133.4,
            "npoints": 12345,
            "rate": 231.0,
            "cpu": 98.2,
            "memory": 3.0,
            "core_hours": 0.23,
            "time_left": timedelta(minutes=4, seconds=10),
            "pending_reasons": {"Priority": 1, "Resources": 1},
            **changes,
        }
    )


def drawn(run, width=80, encoding="utf-8"):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=file, width=width, force_terminal=True, no_color=True, color_system=None).print(
        RunDrawing(run)
    )
    file.flush()
    return file.buffer.getvalue().decode(encoding).splitlines()


def test_all_that_matters_is_there():
    title, bar, legend, jobs, points, folder = (line.rstrip() for line in drawn(info()))
    assert title.startswith("sweep  running  2 min 13 s  ")
    assert title.endswith("about 4 min left")
    assert len(title) == len(bar) == 80
    assert [bar.count(mark) for mark in "█✗▓░"] == [48, 4, 16, 12]
    assert legend == "█ 12 done   ✗ 1 failed   ▓ 4 running   ░ 3 ready   of 20 learners"
    assert jobs == "jobs    4 running, 2 pending: 1 Priority, 1 Resources"
    assert points == "points  12,345   231 a second   CPU 98 %   memory 3 %   0.23 core-hours"
    assert folder == "folder  /scratch/me/sweep-run"


def test_what_nobody_knows_is_called_unknown():
    text = "\n".join(drawn(info(time_left=None, cpu=None, memory=None)))
    assert "time left: unknown" in text
    assert "CPU" not in text


def test_a_run_that_is_over_says_no_more_of_jobs():
    text = "\n".join(drawn(info(status="finished", time_left=timedelta(), jobs_running=0)))
    assert "finished" in text
    assert "left" not in text
    assert "pending" not in text


def test_trouble_and_the_first_failures_are_shown():
    failures = [Failure(i, i + 1, i == 0, f"ValueError: {i}") for i in range(5)]
    text = "\n".join(drawn(info(trouble="squeue does not answer", failures=failures)))
    assert "trouble    squeue does not answer" in text
    assert "learner 0  failed once, given up: ValueError: 0" in text
    assert "learner 1  failed 2 times, will be tried again: ValueError: 1" in text
    assert "... and 2 more have failed" in text


def test_a_pause_and_what_hinders_jobs_are_shown():
    troubles = dict.fromkeys(range(4), "the disk is full")
    text = "\n".join(drawn(info(is_paused=True, learner_troubles=troubles)))
    assert "paused: no new jobs are submitted" in text
    assert "learner 2  the disk is full" in text
    assert "... and 1 more have trouble" in text


@pytest.mark.parametrize("width", [30, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(width):
    failures = [Failure(3, 2, is_given_up=True, error="ValueError: " + "very " * 50)]
    for line in drawn(info(failures=failures, folder="/long" * 40), width=width):
        assert cell_len(line.rstrip()) <= width


def test_a_terminal_without_unicode_gets_plain_characters():
    bar = drawn(info(), encoding="ascii")[1]
    assert [bar.count(mark) for mark in "#x=-"] == [48, 4, 16, 12]


@given(counts=st.lists(st.integers(0, 10**6), min_size=1, max_size=6), width=st.integers(20, 200))
def test_the_bar_is_full_and_shows_all_that_there_is(counts, width):
    sizes = shares(counts, width)
    assert sum(sizes) == (width if any(counts) else 0)
    assert all((size > 0) == (count > 0) for size, count in zip(sizes, counts, strict=True))


def test_a_line_says_the_same_in_short():
    assert as_line(info()) == (
        "sweep running 2 min 13 s: 12/20 learners done, 4 running, 3 ready, 1 failed, "
        "12,345 points, jobs: 4 running, 2 pending, 4 min left"
    )


# What somebody sees who waits for a run.


START = RunInfo(
    name="sweep",
    folder="/sweep-run",
    status="running",
    as_of=1000.0,
    manager=THIS_PROCESS,
    counts={"running": 1, "ready": 2},
    jobs_running=1,
    jobs_pending=0,
    elapsed_time=1.0,
    npoints=0,
)
END = replace(START, counts={"done": 3}, status="finished")
STEPS = [START, replace(START, npoints=5), END]


def play(steps):
    """Wait for a run that goes through these steps; return what `watch` returns."""
    seen = iter(steps)
    left = iter(range(len(steps) - 1, -1, -1))
    return watch(SimpleNamespace(info=lambda: next(seen)), lambda _: next(left) == 0, None)


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
    assert not watch(SimpleNamespace(info=lambda: START), lambda _: False, timeout)
    assert "running" in capsys.readouterr().err
