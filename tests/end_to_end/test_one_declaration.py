"""A parameter is declared in one place, and arrives wherever a run is spoken of."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler import RunManager
from adaptive_scheduler.learners import pack
from tests.waiting import PATIENCE

PACKAGE = Path(pack.__file__).parents[1]

#: Two parameters more, as a developer would add them.
FIELDS = """
    resting_time: float = field(
        default=9,
        metadata=_parameter("How long it rests.", unit="seconds", check=check_interval, of="jobs"),
    )
    greeting: Callable[[], str] | None = field(
        default=None, metadata=_parameter("What it says.", of="jobs", kept="functions")
    )
"""

PROGRAM = """
import inspect, json

import adaptive

from adaptive_scheduler import RunManager, SlurmExecutor, slurm_run
from adaptive_scheduler.client_support.job import read_spec
from adaptive_scheduler.scheduler import Local
from adaptive_scheduler.server_support import JobManager


def in_the_job(_):
    spec = read_spec("run-run")
    return spec.resting_time, spec.greeting()


learner = adaptive.SequenceLearner(in_the_job, [0])
run = RunManager(
    Local(executor_type="sequential"), [learner], ["data.pickle"], job_name="run", quiet=True,
    resting_time=5, greeting=lambda: "hello",
)
run.start()
run.wait()
run.load_learners()
attached = RunManager.attach("run-run")
try:
    RunManager(Local(), [learner], ["data.pickle"], resting_tim=5)
except TypeError as error:
    complaint = str(error)
print(json.dumps({
    "signatures": [
        inspect.signature(face).parameters["resting_time"].default
        for face in (RunManager, JobManager, slurm_run, SlurmExecutor)
    ],
    "help": [
        "resting_time : float, in seconds, default 9\\n    How long" in inspect.getdoc(face)
        for face in (RunManager, JobManager, slurm_run, SlurmExecutor)
    ],
    "job": learner.result()[0],
    "attached": [attached.spec.resting_time, attached.spec.greeting()],
    "complaint": complaint,
}))
"""


def test_a_new_parameter_arrives_in_all_signatures_in_the_job_and_after_attach(here):
    copy = here / "site" / "adaptive_scheduler"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "static"))
    spec = copy / "run_folder" / "spec.py"
    before, mark, after = spec.read_text().partition('\n    run_id: str = ""\n')
    spec.write_text(before + FIELDS + mark + after)
    (here / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "program.py"],
        env={**os.environ, "PYTHONPATH": f"{copy.parent}:{os.environ['PYTHONPATH']}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["signatures"] == [9] * 4
    assert found["help"] == [True] * 4
    assert found["job"] == [5, "hello"]
    assert found["attached"] == [5, "hello"]
    assert found["complaint"].endswith("'resting_tim'. Did you mean `resting_time`?")


@pytest.fixture
def opened(monkeypatch):
    """Return a list that gets the path of each pack that is opened."""
    opened = []
    open_trusted = pack.open_trusted

    def open_and_note(path, **keywords):
        opened.append(path)
        return open_trusted(path, **keywords)

    monkeypatch.setattr(pack, "open_trusted", open_and_note)
    return opened


def test_who_attaches_opens_the_pack_once(make_run, opened):
    n_learners = 50
    learners = [adaptive.SequenceLearner(abs, [1]) for _ in range(n_learners)]
    for learner in learners:
        learner.tell((0, 1), 1)
    run = make_run(learners)
    run.start()  # all are done, and no job is needed
    run.wait()
    opened.clear()
    again = RunManager.attach("run-run")
    assert len(again.learners) == n_learners
    assert again.status() == "finished"
    assert len(opened) == 1
