"""Fixtures for tests of learners and their files."""

from __future__ import annotations

import pytest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return an empty folder, in which the test works."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
