"""Each promise names tests, and each test that is named exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "docs" / name for name in ("promises.md", "security.md")]

NAMED = re.compile(r"`(tests/[\w/]+\.(?:py|ipynb))(?:::(\w+))?`")


def named_in(text):
    return NAMED.findall(text)


@pytest.mark.parametrize(
    ("file", "test"),
    sorted({name for page in PAGES for name in named_in(page.read_text())}),
    ids=lambda value: Path(value).stem,
)
def test_a_test_that_is_named_exists(file, test):
    path = ROOT / file
    assert path.exists()
    if test:
        tree = ast.parse(path.read_text())
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        assert test in {node.name for node in ast.walk(tree) if isinstance(node, functions)}


def test_every_promise_names_tests():
    promises = re.split(r"^### \d\. ", (ROOT / "docs/promises.md").read_text(), flags=re.MULTILINE)[
        1:
    ]
    assert len(promises) == 9
    assert all(named_in(promise) for promise in promises)
