"""Tracebacks show the user's lines with each cloudpickle that lost something on the way.

Up to version 3.1.2 code that travels by value keeps the name of its file and loses its lines;
with 3.1.3 it loses both.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cloudpickle
import pytest

from tests.waiting import PATIENCE

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]

#: What is tested with each: functions of scripts and notebooks, on the way to a job, to its
#: workers, and back as an exception.
TESTS = [
    "tests/_common/test_by_value.py::test_by_itself",
    "tests/_common/test_by_value.py::test_from_the_job_to_its_workers",
    "tests/_common/test_by_value.py::test_calls_and_functions_among_their_arguments",
    "tests/futures/test_calls.py::test_an_exception_is_itself_and_knows_where_it_was_raised",
]
N_TESTS = 6  # the first one has three names of files

PROGRAM = """
import sys

import cloudpickle
import pytest

assert cloudpickle.__version__ == sys.argv[1]
sys.exit(pytest.main(["-p", "no:cacheprovider", *sys.argv[2:]]))
"""


#: The version that is installed is tested by all other tests.
VERSIONS = {"3.1.2", "3.1.3"} - {cloudpickle.__version__}


@pytest.fixture(params=sorted(VERSIONS))
def version(request):
    return request.param


@pytest.fixture
def site(version, tmp_path):
    """Return a folder with this version of cloudpickle and nothing else."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
            *("--target", tmp_path / "site", f"cloudpickle=={version}"),
        ],
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,  # where there is no network, pip tries several times
        check=False,
    )
    if "(from versions: none)" in done.stderr:
        pytest.skip("pip reaches no index of packages.")
    assert done.returncode == 0, done.stderr
    return tmp_path / "site"


def test_tracebacks_show_the_users_lines(version, site):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, version, *TESTS],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,  # each test starts processes of its own
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{N_TESTS} passed" in done.stdout
