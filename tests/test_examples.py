"""The scripts that users copy, run as they run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("local_spool")

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name, folder):
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_demo_computes_twenty_learners_and_draws_them(tmp_path):
    output = run("demo.py", tmp_path)
    assert len(list((tmp_path / "data").glob("*.pickle"))) == 20
    assert output.count(" 201 ") + output.count(" 202 ") == 20
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")


def test_the_demo_computes_nothing_twice(tmp_path):
    run("demo.py", tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").iterdir()}
    run("demo.py", tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data").iterdir()} == before


def test_managers_can_be_held_by_hand(tmp_path):
    output = run("managers_by_hand.py", tmp_path)
    assert output.count("data/offset_") == 4
