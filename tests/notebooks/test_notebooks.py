"""Notebooks that run from top to bottom, each for the sake of what it says at its top."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebook_client import execute

NOTEBOOKS = sorted(Path(__file__).parent.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path, tmp_path):
    execute(path, tmp_path)
