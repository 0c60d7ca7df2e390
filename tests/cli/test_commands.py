"""Looking at a run is cheap, and asks nobody."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.server_support.test_views import WrittenRun

pytestmark = pytest.mark.system

#: What it takes to speak to a manager, or to run learners.
HEAVY = ("zmq", "asyncio", "adaptive", "pandas", "IPython", "ipywidgets")
PROGRAM = """
import sys
from adaptive_scheduler.cli import main

code = main(sys.argv[1:])
print(code, [name for name in {heavy} if name in sys.modules])
"""


@pytest.fixture
def folder(tmp_path):
    run = WrittenRun(tmp_path)
    run.job(0).status(npoints=12)
    run.write()
    yield run.run_folder.root
    run.lock.release()


@pytest.mark.parametrize("command", ["status", "logs", "list"])
def test_looking_at_a_run_imports_nothing_that_asks_its_manager(folder, command):
    where = folder.parent if command == "list" else folder
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(heavy=HEAVY), command, str(where)],
        capture_output=True,
        text=True,
        check=True,
    )
    *said, last = done.stdout.splitlines()
    assert last == "0 []", done.stdout + done.stderr
    assert "run" in "".join(said)
