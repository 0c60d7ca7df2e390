"""Values that several rooms check are checked in one way."""

from __future__ import annotations

import pytest

from adaptive_scheduler._common.checks import check_count
from adaptive_scheduler.errors import InvalidInputError


def test_counts_are_whole_and_positive():
    check_count("max_jobs", 1)
    for count in (0, -1, 1.5, 2.0, "3", None, True):
        with pytest.raises(InvalidInputError, match=f"`max_jobs` is a positive .* not {count!r}"):
            check_count("max_jobs", count)
