"""A keeper starts its job when it is told to, and ends all of it."""

from __future__ import annotations

import json
import os
import signal

import pytest

from adaptive_scheduler.scheduler.local import supervisor
from adaptive_scheduler.scheduler.local.supervisor import STATUS_SIZE, Order, fork_keeper
from tests.scheduler.contract import exists
from tests.waiting import wait_until


@pytest.fixture
def status(tmp_path):
    descriptor = os.open(tmp_path / "status", os.O_RDWR | os.O_CREAT)
    os.pwrite(descriptor, b" " * STATUS_SIZE, 0)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def order(tmp_path):
    """Return a function that makes the order to run a piece of bash."""

    def order(script, **fields):
        path = tmp_path / "script"
        path.write_text(script)
        values = {
            "script": str(path),
            "output": str(tmp_path / "logs" / "out"),
            "workdir": str(tmp_path),
            "environment": dict(os.environ),
            "umask": 0o022,
            "affinity": sorted(os.sched_getaffinity(0)),
            "mark": os.urandom(8).hex(),
            "time": None,
            "kill_wait": 0.2,
        }
        return Order(**values | fields)

    return order


@pytest.fixture
def keep(status):
    """Return a function that has a job kept to its end and returns what became of it."""

    def keep(order, *, meanwhile=lambda _: None, **keywords):
        keeper, go = fork_keeper(order, status, **keywords)
        os.write(go, b"!")
        os.close(go)
        meanwhile(keeper)
        os.waitpid(keeper.pid, 0)
        return json.loads(os.pread(status, STATUS_SIZE, 0))

    return keep


def test_a_job_that_is_not_let_go_is_not_started(order, status, tmp_path):
    keeper, go = fork_keeper(order("touch started"), status)
    os.close(go)
    os.waitpid(keeper.pid, 0)
    assert not (tmp_path / "started").exists()
    assert os.pread(status, STATUS_SIZE, 0).strip() == b""


@pytest.mark.parametrize(
    ("script", "end"),
    [
        ("exit 0", {"state": "COMPLETED", "exit_code": 0, "reason": ""}),
        ("exit 3", {"state": "FAILED", "exit_code": 3, "reason": ""}),
        ("kill -SEGV $$", {"state": "FAILED", "exit_code": None, "reason": "killed by SIGSEGV"}),
        ("kill -40 $$", {"state": "FAILED", "exit_code": None, "reason": "killed by signal 40"}),
    ],
)
def test_how_a_job_ends_is_written_down(order, keep, script, end):
    assert keep(order(script)) == end


def test_a_job_that_is_told_to_end_may_say_how_it_went(order, keep, tmp_path):
    def cancel(keeper):
        wait_until((tmp_path / "ready").exists)
        os.kill(keeper.pid, signal.SIGTERM)

    script = "trap 'exit 9' TERM; touch ready; until [ -e never ]; do sleep 0.02; done"
    end = keep(order(script, kill_wait=60), meanwhile=cancel)
    assert end == {"state": "CANCELLED", "exit_code": 9, "reason": ""}


def test_a_job_can_be_ended_before_its_program_has_begun(order, keep):
    end = keep(
        order("exec sleep 1000"), meanwhile=lambda keeper: os.kill(keeper.pid, signal.SIGTERM)
    )
    assert end["state"] == "CANCELLED"


def test_a_job_without_bash_says_so(order, keep, tmp_path):
    end = keep(order("exit 0", environment={"PATH": str(tmp_path)}))
    assert end["exit_code"] == 127
    assert "could not be started" in (tmp_path / "logs" / "out").read_text()


@pytest.mark.parametrize("has_all", [True, False], ids=["as a parent", "by the mark alone"])
def test_what_a_job_leaves_behind_is_ended(order, keep, monkeypatch, tmp_path, has_all):
    if not has_all:
        monkeypatch.setattr(supervisor, "_adopt_orphans", lambda: False)
    script = """
        (setsid bash -c 'echo $$ >> pids; trap "" TERM; until [ -e never ]; do sleep 0.02; done' &)
        (setsid bash -c 'echo $$ >> pids; exec sleep 1000' &)
        until [ -e pids ] && [ $(wc -l < pids) = 2 ]; do sleep 0.02; done
        exit 4
    """
    assert keep(order(script))["exit_code"] == 4
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert not any(map(exists, pids))


def test_a_keeper_for_leftovers_starts_nothing(order, keep, tmp_path):
    end = keep(order("touch started"), leftovers_only=True)
    assert end["state"] == "FAILED"
    assert not (tmp_path / "started").exists()
