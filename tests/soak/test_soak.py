"""Promises 1 to 5 at once: a run in which everything goes wrong loses no point.

This is the short form. ``make soak`` takes as long as one likes, with another seed each time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from tests.end_to_end.conftest import ROOT

#: As many as there are kinds: each strikes once.
N_FAULTS = 12
#: Seconds for all of it: only what hangs takes longer.
PATIENCE = 1500


@pytest.mark.system
def test_two_hundred_learners_in_every_kind_of_trouble_lose_no_point(capsys):
    options = {"seed": 1, "faults": N_FAULTS, "points": 10, "patience": PATIENCE}
    words = [f"--{name}={value}" for name, value in options.items()]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.soak", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as soak:
        try:
            output, _ = soak.communicate(timeout=PATIENCE + 30)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(soak.pid, signal.SIGKILL)
    with capsys.disabled():
        print(f"\n{output}")  # noqa: T201  figures are what it is for
    assert soak.returncode == 0, output
    assert "     0 points lost" in output
