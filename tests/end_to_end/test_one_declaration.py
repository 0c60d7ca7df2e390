"""A parameter is declared in one place, and arrives wherever a run is spoken of."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler import RunManager
from adaptive_scheduler.learners import pack
from adaptive_scheduler.server_support import DatabaseManager, JobManager, KillManager
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

#: Gives them to each face, and has jobs and whoever attaches say what has arrived.
PROGRAM = """
import inspect, json

import adaptive

from adaptive_scheduler import RunManager, SlurmExecutor, slurm_run
from adaptive_scheduler.client_support.job import read_spec
from adaptive_scheduler.scheduler import SLURM, Local
from adaptive_scheduler.server_support import DatabaseManager, JobManager, get_allowed_url


def told_by(spec):
    return spec.resting_time, spec.greeting and spec.greeting()


def in_the_job(folder):
    return told_by(read_spec(folder))


def new_learner(folder):
    return adaptive.SequenceLearner(in_the_job, [folder])


said = {"resting_time": 5, "greeting": lambda: "hello"}
usual = {**said, "job_manager_interval": 1, "quiet": True}
small = {"cores_per_node": 1, "executor_type": "sequential"}
local = Local(executor_type="sequential")

# All at once, since each has to wait for a job.
runs = {
    "RunManager": RunManager(local, [new_learner("r-run")], ["r.pickle"], job_name="r", **usual),
    "slurm_run": slurm_run([new_learner("s-run")], ["s.pickle"], name="s", **small, **usual),
}
for run in runs.values():
    run.start()
executor = SlurmExecutor("e", **small, **said, job_manager_interval=1)
assert isinstance(runs["slurm_run"].scheduler, SLURM)
assert isinstance(executor.scheduler, SLURM)
folders = {"SlurmExecutor": executor.folder / "e-0-run", "JobManager": "h-run"}
task = executor.submit(in_the_job, str(folders["SlurmExecutor"]))
learner = new_learner("h-run")
database = DatabaseManager(get_allowed_url(), local, "h.json", [learner], ["h.pickle"])
database.start()
jobs = JobManager(["h-0"], database, local, interval=1, **said)
jobs.start()

in_job = {}
for face, run in runs.items():
    run.wait()
    run.load_learners()
    folders[face], in_job[face] = run.run_folder.root, run.learners[0].result()[0]
in_job["SlurmExecutor"] = task.result()
executor.shutdown()
jobs.task.result()
database.cancel()
learner.load("h.pickle")
in_job["JobManager"] = learner.result()[0]

try:
    RunManager(Local(), [learner], ["data.pickle"], resting_tim=5)
except TypeError as error:
    complaint = str(error)
faces = (RunManager, JobManager, slurm_run, SlurmExecutor)
print(json.dumps({
    "signatures": [
        inspect.signature(face).parameters["resting_time"].default for face in faces
    ],
    "help": [
        "resting_time : float, in seconds, default 9\\n    How long" in inspect.getdoc(face)
        for face in faces
    ],
    "job": in_job,
    "attached": {
        face: told_by(RunManager.attach(folder).spec) for face, folder in folders.items()
    },
    "complaint": complaint,
}))
"""
FACES = ("RunManager", "slurm_run", "SlurmExecutor", "JobManager")


@pytest.mark.usefixtures("slurm")
def test_a_new_parameter_arrives_by_each_face_in_the_job_and_after_attach(here):
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
        timeout=3 * PATIENCE,  # it has four runs
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["signatures"] == [9] * len(FACES)
    assert found["help"] == [True] * len(FACES)
    assert found["job"] == {face: [5, "hello"] for face in FACES}
    assert found["attached"] == {face: [5, "hello"] for face in FACES}
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


@pytest.fixture
def made(monkeypatch):
    """Return a counter of the managers that are made, by the names of their classes."""
    made = Counter()

    def count(kind):
        begin = kind.__init__

        def count_and_begin(self, *args, **keywords):
            made[kind.__name__] += 1
            begin(self, *args, **keywords)

        monkeypatch.setattr(kind, "__init__", count_and_begin)

    for kind in (DatabaseManager, JobManager, KillManager):
        count(kind)
    return made


def test_who_attaches_opens_the_pack_once_and_makes_each_manager_once(make_run, opened, made):
    n_learners = 5_000
    run = make_run([adaptive.SequenceLearner(abs, [1]) for _ in range(n_learners)])
    run.start()
    run.cancel()
    run.wait()
    opened.clear()
    made.clear()
    again = RunManager.attach("run-run")
    assert len(again.learners) == n_learners
    assert again.status() == "cancelled"
    assert len(opened) == 1
    assert made == {"DatabaseManager": 1, "JobManager": 1, "KillManager": 1}
