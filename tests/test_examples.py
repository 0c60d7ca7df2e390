"""The scripts that users copy, run as they run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.notebook_client import execute
from tests.waiting import PATIENCE

pytestmark = pytest.mark.usefixtures("local_spool")

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def run(name, folder):
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_demo_computes_twenty_learners_and_draws_them_and_nothing_twice(tmp_path):
    output = run("demo.py", tmp_path)
    assert len(list((tmp_path / "data").glob("*.pickle"))) == 20
    assert output.count(" 201 ") + output.count(" 202 ") == 20
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").iterdir()}
    run("demo.py", tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data").iterdir()} == before


def test_managers_can_be_held_by_hand(tmp_path):
    output = run("managers_by_hand.py", tmp_path)
    assert output.count("data/offset_") == 4


def test_the_tour_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    notebook = execute(ROOT / "example.ipynb", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {"spool"}
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    texts = [output.text for output in outputs if output.output_type == "stream"]
    assert any("peaks-run " in text for text in texts)
    assert any("seven is not for me" in text for text in texts)
    assert not any("Traceback" in text for text in texts if "seven" not in text)
