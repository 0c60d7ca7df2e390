"""Whatever is public stands in the reference."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parents[1] / "docs" / "reference.md"


@pytest.mark.parametrize(
    "module", ["client_support", "scheduler", "server_support", "utils", "widgets"]
)
def test_every_public_name_is_in_the_reference(module):
    names = import_module(f"adaptive_scheduler.{module}").__all__
    mentioned = set(re.findall(r"\w+", REFERENCE.read_text()))
    # What errors there are is read from their module.
    missing = [n for n in names if n not in mentioned and not n.endswith("Error")]
    assert not missing


def test_the_reference_names_nothing_twice():
    documented = re.findall(
        r"^\.\. auto(?:class|function):: (.+)$", REFERENCE.read_text(), re.MULTILINE
    )
    assert len(documented) == len(set(documented))
