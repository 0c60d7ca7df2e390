"""Nobody runs another user's code by looking at their run, or by a run swapped under a job."""

from __future__ import annotations

import json
import os
import pickle
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler import RunManager
from adaptive_scheduler.cli import commands, main
from adaptive_scheduler.errors import UnpicklableError, UntrustedFileError
from adaptive_scheduler.learners.learner_files import fname_to_learner
from adaptive_scheduler.learners.pack import Pack, write_blobs
from adaptive_scheduler.scheduler import Local
from adaptive_scheduler.server_support.remote import open_run
from adaptive_scheduler.widgets import info
from tests.end_to_end.barriers import FIRST, N_POINTS, Barriers
from tests.end_to_end.looking import said
from tests.end_to_end.other_users import OTHER_USER, as_other_user
from tests.end_to_end.sites import BOTH_SITES
from tests.waiting import PATIENCE, wait_until

COMMAND = Path(sys.executable).with_name("adaptive-scheduler")
COMMANDS = [
    ("status", "theirs-run"),
    ("status", "--json", "theirs-run"),
    ("list",),
    ("list", "--json"),
    ("logs", "theirs-run"),
    ("logs", "theirs-run", "--failed"),
    ("pause", "theirs-run"),
    ("resume", "theirs-run"),
    ("retry", "theirs-run"),
    ("retry", "theirs-run", "--learner", "0"),
    ("cancel", "theirs-run"),
    ("cancel", "theirs-run", "--learner", "0"),
    ("attach", "theirs-run"),
    ("attach", "theirs-run", "--again"),
]
#: Commands that only look.
LOOKING = {"status", "list", "logs"}


class Trap:
    """An object whose pickle leaves a file when it is loaded."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.open, (str(self.marker), os.O_CREAT | os.O_WRONLY, 0o666))


@pytest.fixture
def place(monkeypatch, local_spool):
    """Work in a folder in which every user may rename what others have put there."""
    if os.geteuid() != 0:
        pytest.skip("Only root can become somebody else.")
    with tempfile.TemporaryDirectory(prefix="open-") as name:
        place = Path(name)
        place.chmod(0o777)
        monkeypatch.chdir(place)
        monkeypatch.setenv("SCHEDULER_SYSTEM", "LOCAL")
        yield place


@pytest.fixture
def marker(place):
    return place / "their code has run"


@pytest.fixture
def trapped(place, marker, make_run, site):
    """Return a folder of another user that looks like a run, and has a trap in all its pickles."""
    learner = adaptive.SequenceLearner(abs, [1, 2])
    run = make_run([learner], ["theirs.pickle"], job_name="theirs", scheduler=site.scheduler())
    run.start()
    run.wait()
    set_traps(place / "theirs-run", marker)
    give_away(place / "theirs-run")
    return place / "theirs-run"


def set_traps(root, marker):
    trap = pickle.dumps(Trap(marker))
    pickles = sorted(root.rglob("*.pickle"))
    assert pickles
    for path in pickles:
        path.write_bytes(trap)
    pack = Pack(root / "learners.pack")
    environment = pack._environment
    write_blobs(pack.path, lambda: environment, pack.fnames, [trap] * len(pack))


def give_away(root):
    """Make a folder another user's, and let everybody see what is in it."""
    user = pwd.getpwnam(OTHER_USER)
    for path in [root, *root.rglob("*")]:
        os.chown(path, user.pw_uid, user.pw_gid)
        path.chmod(0o755 if path.is_dir() else 0o644)


def swap(one, other):
    """Let a folder take the place of another, as the other user."""

    def rename():
        one.rename(one.with_name("kept"))
        other.rename(one)

    as_other_user(rename)


def test_the_traps_work(trapped, marker):
    with pytest.raises(UnpicklableError, match="can't be loaded"):
        RunManager.attach(trapped, trust=True)
    assert marker.exists()


@BOTH_SITES
def test_no_command_runs_the_code_of_another_user(trapped, marker):
    for words in COMMANDS:
        done = subprocess.run(
            [COMMAND, *words], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert not marker.exists(), words
        assert "Traceback" not in done.stderr
        if words[0] in LOOKING:
            assert done.returncode == 0, words
        else:
            assert done.returncode == 1, words
            assert f"belongs to {OTHER_USER}" in done.stderr, words


@pytest.mark.parametrize("kind", ["local", "slurm", "pbs"])
def test_no_command_acts_on_the_run_of_another_user(kind, place, marker, make_run, monkeypatch):
    """Our own jobs, which its journal names, go on; nothing is written, and no queue asked."""
    barriers = Barriers(place)
    run = make_run([adaptive.SequenceLearner(barriers.function(place / "points"), range(N_POINTS))])
    run.start()
    wait_until(lambda: said("current status"))
    run.detach()
    shutil.copytree(place / "run-run", place / "theirs-run")
    if kind != "local":
        spec = place / "theirs-run" / "spec.json"
        content = json.loads(spec.read_text())
        spec.write_text(json.dumps(content | {"scheduler": {"kind": kind}}))
        monkeypatch.setenv("PATH", f"{commands_that_mark(place, marker)}:{os.environ['PATH']}")
    give_away(place / "theirs-run")
    before = content_of(place / "theirs-run")
    for words in (words for words in COMMANDS if words[0] not in LOOKING):
        done = subprocess.run(
            [COMMAND, *words], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 1, words
        assert f"belongs to {OTHER_USER}" in done.stderr, words
    assert not marker.exists()
    assert content_of(place / "theirs-run") == before
    assert len(Local().queue()) == 1
    barriers.first.touch()
    barriers.second.touch()
    run.start().wait()
    assert run.status() == "finished"


def commands_that_mark(place, marker):
    """Return a folder with commands of schedulers that leave a file when they are called."""
    folder = place / "bin"
    folder.mkdir()
    for name in ["squeue", "scancel", "sacct", "sinfo", "qstat", "qdel", "qselect"]:
        (folder / name).write_text(f"#!/bin/sh\ntouch '{marker}'\n")
        (folder / name).chmod(0o755)
    return folder


def content_of(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_dashboard_of_another_users_run_needs_no_pickle(trapped, marker):
    view = open_run(trapped)
    assert view.info().status == "finished"
    assert [row.state for row in view.rows().rows] == ["done"]
    assert [name.names for name in view.fnames]
    assert [attempt.outcome for attempt in view.attempts(0)] == ["done"]
    info(trapped)
    assert not marker.exists()


def test_attaching_says_whose_run_it_is(trapped, marker):
    with pytest.raises(UntrustedFileError, match=rf"belongs to {OTHER_USER}.*trust=True"):
        RunManager.attach(trapped)
    assert not marker.exists()


def test_a_list_reads_no_folder_that_takes_the_place_of_ones_own(
    trapped, marker, make_run, monkeypatch, place
):
    """It is swapped at the latest moment: when all folders were found, and none was read."""
    shutil.copytree(trapped, place / "run-run")  # a run of ours, by its owner
    walk = os.walk

    def walk_and_swap(top):
        yield from walk(top)
        if not (place / "kept").exists():
            swap(place / "run-run", trapped)

    monkeypatch.setattr(commands.os, "walk", walk_and_swap)
    assert main(["list"]) == 0
    assert (place / "run-run").stat().st_uid != os.geteuid()
    assert not marker.exists()


def test_a_learner_is_not_taken_from_the_run_of_another_user(trapped, marker):
    with pytest.raises(FileNotFoundError, match="No learner is known"):
        fname_to_learner("theirs.pickle")
    assert not marker.exists()


def test_a_run_folder_that_is_swapped_under_a_job_runs_nothing(
    trapped, marker, make_run, ledger, place
):
    gates = Barriers(place)
    learners = [
        adaptive.SequenceLearner(gates.function(ledger.path, i), range(N_POINTS)) for i in range(2)
    ]
    run = make_run(learners, max_cores=1)
    run.start()
    wait_until(lambda: len(ledger.points(0)) == FIRST)
    log = said("current status") and next((place / "run-run" / "logs").glob("*.log"))
    swap(place / "run-run", trapped)
    gates.first.touch()
    gates.second.touch()
    log = place / "kept" / "logs" / log.name
    wait_until(lambda: f"belongs to {OTHER_USER}" in log.read_text())
    wait_until(lambda: "ends" in [line["event"] for line in said("ends", log.parent)])
    assert not marker.exists()
    assert len(ledger.points(0)) == N_POINTS  # the learner that it had was computed
    run.cancel()
