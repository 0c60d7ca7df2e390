"""A supervisor starts its job when it is told to, and ends all of it."""

from __future__ import annotations

import os
import signal

import pytest

from adaptive_scheduler.scheduler.local import supervisor
from adaptive_scheduler.scheduler.local.spool import Spool
from adaptive_scheduler.scheduler.local.supervisor import JobSpec, Supervisor, fork_supervisor
from tests.scheduler.contract import exists
from tests.waiting import wait_until

pytestmark = pytest.mark.system


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path)


@pytest.fixture
def spec(tmp_path):
    """Return a function that says how to run a piece of bash."""

    def spec(script, **fields):
        path = tmp_path / "script"
        path.write_text(script)
        values = {
            "script": str(path),
            "output": str(tmp_path / "logs" / "out"),
            "workdir": str(tmp_path),
            "environment": dict(os.environ),
            "umask": 0o022,
            "affinity": sorted(os.sched_getaffinity(0)),
            "time": None,
        }
        return JobSpec(**values | fields)

    return spec


@pytest.fixture
def supervise(spool):
    """Return a function that runs a job to its end and returns its status."""

    def supervise(spec, *, kill_wait=0.2, meanwhile=lambda _: None):
        job_file = spool.create_job_file("1_0")
        process, go = fork_supervisor(Supervisor(os.urandom(8).hex(), kill_wait, job_file), spec)
        os.close(job_file)
        os.write(go, b"!")
        os.close(go)
        meanwhile(process)
        os.waitpid(process.pid, 0)
        return spool.read_status("1_0")

    return supervise


def test_a_job_that_is_not_let_go_is_not_started(spec, spool, tmp_path):
    job_file = spool.create_job_file("1_0")
    process, go = fork_supervisor(Supervisor("mark", 0.2, job_file), spec("touch started"))
    os.close(job_file)
    os.close(go)
    os.waitpid(process.pid, 0)
    assert not (tmp_path / "started").exists()
    assert spool.read_status("1_0") == {}


@pytest.mark.parametrize(
    ("script", "end"),
    [
        ("exit 0", {"state": "COMPLETED", "exit_code": 0, "reason": ""}),
        ("exit 3", {"state": "FAILED", "exit_code": 3, "reason": ""}),
        ("kill -SEGV $$", {"state": "FAILED", "exit_code": None, "reason": "killed by SIGSEGV"}),
        ("kill -40 $$", {"state": "FAILED", "exit_code": None, "reason": "killed by signal 40"}),
    ],
)
def test_how_a_job_ends_is_written_down(spec, supervise, script, end):
    assert supervise(spec(script)) == end


def test_a_job_that_is_told_to_end_may_say_how_it_went(spec, supervise, tmp_path):
    def cancel(process):
        wait_until((tmp_path / "ready").exists)
        os.kill(process.pid, signal.SIGTERM)

    script = "trap 'exit 9' TERM; touch ready; until [ -e never ]; do sleep 0.02; done"
    end = supervise(spec(script), kill_wait=60, meanwhile=cancel)
    assert end == {"state": "CANCELLED", "exit_code": 9, "reason": ""}


def test_a_job_can_be_ended_before_its_program_has_begun(spec, supervise):
    end = supervise(
        spec("exec sleep 1000"), meanwhile=lambda process: os.kill(process.pid, signal.SIGTERM)
    )
    assert end["state"] == "CANCELLED"


def test_a_job_without_bash_says_so(spec, supervise, tmp_path):
    end = supervise(spec("exit 0", environment={"PATH": str(tmp_path)}))
    assert end["exit_code"] == 127
    assert "could not be started" in (tmp_path / "logs" / "out").read_text()


@pytest.mark.parametrize("has_all", [True, False], ids=["as a parent", "by the mark alone"])
def test_what_a_job_leaves_behind_is_ended(spec, supervise, monkeypatch, tmp_path, has_all):
    if not has_all:
        monkeypatch.setattr(supervisor, "_adopt_orphans", lambda: False)
    script = """
        (setsid bash -c 'echo $$ >> pids; trap "" TERM; until [ -e never ]; do sleep 0.02; done' &)
        (setsid bash -c 'echo $$ >> pids; exec sleep 1000' &)
        until [ -e pids ] && [ $(wc -l < pids) = 2 ]; do sleep 0.02; done
        exit 4
    """
    assert supervise(spec(script))["exit_code"] == 4
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert not any(map(exists, pids))


def test_a_supervisor_for_leftovers_starts_nothing(supervise, tmp_path):
    end = supervise(None)
    assert end["state"] == "FAILED"
    assert not (tmp_path / "logs").exists()


def test_a_long_reason_fits_into_the_file_of_the_job(spec, supervise, spool, tmp_path):
    size = spool.job_file("1_0").stat().st_size if spool.job_files() else None
    assert size is None
    folder = tmp_path / ("\N{SNAKE}" * 50) / ("\N{SNAKE}" * 50) / ("\N{SNAKE}" * 50)
    end = supervise(spec("true", workdir=str(folder)))
    assert "No such file" in end["reason"]
    assert spool.job_file("1_0").stat().st_size == 8192
