"""A job imports little, and what it needs only when it needs it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import adaptive

from adaptive_scheduler.scheduler import Local

#: What no job may import, unless the user's functions do.
HEAVY = {"IPython", "ipyparallel", "ipywidgets", "anywidget", "rich", "distributed", "dask"}
#: What the program of a job may not even need to say how it is called.
NOT_FOR_HELP = HEAVY | {"adaptive", "asyncio", "cloudpickle", "loky"}
NOT_FOR_HELP |= {"msgspec", "numpy", "pandas", "structlog", "zmq"}
#: The manager's side, which no job needs.
NOT_FOR_JOBS = {"cli", "futures", "scheduler", "server_support", "widgets"}

_TRACE = re.compile(r"import time:\s+\d+ \|\s+\d+ \| ((?:  )*)(\S+)")


def modules(text):
    """Return the modules that a Python with PYTHONPROFILEIMPORTTIME says it imports."""
    return {name for _, name in _TRACE.findall(text)}


def importers(text):
    """Return for each module the one during whose import it was imported, if any.

    A module's line follows those of what it imports, which are indented deeper.
    """
    found = {}
    around = []
    for indentation, name in reversed(_TRACE.findall(text)):
        del around[len(indentation) // 2 :]
        found[name] = around[-1] if around else ""
        around.append(name)
    return found


def tops(names):
    return {name.partition(".")[0] for name in names}


def imported_by(*arguments):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return modules(done.stderr)


def trace_of_a_job(make_run, **keywords):
    scheduler = Local(extra_env_vars=["PYTHONPROFILEIMPORTTIME=1"])
    run = make_run(
        [adaptive.Learner1D(lambda x: x**2, (-1, 1))], scheduler=scheduler, goal=20, **keywords
    )
    run.start()
    run.wait()
    (output,) = Path("run-run/logs").glob("*.out")
    trace = output.read_text()
    assert "adaptive_scheduler.client_support.attempt" in modules(trace)
    return trace


def imported_by_a_job(make_run, **keywords):
    return modules(trace_of_a_job(make_run, **keywords))


def test_the_help_of_a_job_needs_no_package():
    found = imported_by("-m", "adaptive_scheduler.run_learner", "--help")
    assert tops(found) & NOT_FOR_HELP == set()


def test_importing_the_package_imports_none_of_its_parts():
    found = imported_by("-c", "import adaptive_scheduler")
    ours = {name for name in found if name.startswith("adaptive_scheduler.")}
    assert ours <= {"adaptive_scheduler._common", "adaptive_scheduler._common.lazy"}
    assert tops(found) & NOT_FOR_HELP == set()


def test_a_job_imports_nothing_heavy_beside_what_adaptive_does(make_run):
    by_adaptive = imported_by("-c", "import adaptive")
    by_job = imported_by_a_job(make_run)
    assert tops(by_job) & (HEAVY | {"pandas"}) <= tops(by_adaptive) | {"rich"}


def test_the_log_alone_brings_structlog_into_a_job_and_structlog_alone_rich(make_run):
    by_whom = importers(trace_of_a_job(make_run))
    assert by_whom["structlog"] == "adaptive_scheduler.client_support.job_log"
    assert by_whom["rich"].startswith("structlog.")


def test_a_job_imports_nothing_of_the_managers_side(make_run):
    found = imported_by_a_job(make_run)
    ours = {name.split(".")[1] for name in found if name.startswith("adaptive_scheduler.")}
    assert ours & NOT_FOR_JOBS == set()


def test_a_job_that_saves_dataframes_imports_pandas_and_nothing_else_that_is_heavy(make_run):
    by_adaptive = imported_by("-c", "import adaptive")
    by_job = imported_by_a_job(make_run, save_dataframe=True)
    assert "pandas" in tops(by_job)
    assert tops(by_job) & HEAVY <= tops(by_adaptive) | {"rich"}
