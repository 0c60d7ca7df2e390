"""Signals reach the processes of a job, and no others."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

from adaptive_scheduler.scheduler.local import processes
from adaptive_scheduler.scheduler.local.processes import (
    MARK,
    NOT_OF_A_JOB,
    identify,
    is_alive,
    job_processes,
    send_signal,
    watch,
)
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.system


@pytest.fixture
def start():
    """Return a function that starts a program that waits; end them all."""
    started = []

    def start(*program, **environment):
        command = program or ("sleep", "1000")
        started.append(subprocess.Popen(command, env=os.environ | environment))
        # For a moment after its start, a process has no environment yet to be known by.
        wait_until(Path(f"/proc/{started[-1].pid}/environ").read_bytes)
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(params=[True, False], ids=["pidfd", "older kernel"])
def _kernel(request, monkeypatch):
    if not request.param:

        def refuse(_):
            raise OSError(38, "Function not implemented")

        monkeypatch.setattr(processes.os, "pidfd_open", refuse)


@pytest.mark.usefixtures("_kernel")
def test_a_signal_reaches_its_process(start):
    process = start()
    send_signal(identify(process.pid), signal.SIGTERM)
    assert process.wait(timeout=PATIENCE) == -signal.SIGTERM


@pytest.mark.usefixtures("_kernel")
def test_a_signal_does_not_reach_a_process_that_got_the_number_later(start):
    process = start()
    earlier = identify(process.pid)._replace(began=1)
    send_signal(earlier, signal.SIGKILL)
    assert not is_alive(earlier)
    assert process.poll() is None


@pytest.mark.usefixtures("_kernel")
def test_a_signal_to_nobody_is_no_error(start):
    process = start()
    identity = identify(process.pid)
    process.kill()
    process.wait()
    send_signal(identity, signal.SIGTERM)
    assert not is_alive(identity)
    assert identify(process.pid) is None


def test_a_process_that_nobody_has_reaped_is_dead(start):
    process = start()
    identity = identify(process.pid)
    descriptor = watch(identity)
    process.kill()
    assert select.select([descriptor], [], [], 60)[0]
    os.close(descriptor)
    assert not is_alive(identity)


def test_watching_a_process_that_is_gone_says_so():
    with pytest.raises(ProcessLookupError):
        watch(identify(os.getpid())._replace(began=1))


def test_the_processes_of_a_job_are_its_descendants_and_those_with_its_mark(start):
    parent = start("bash", "-c", "sleep 1000 & setsid sleep 1000 & wait")
    marked = start(**{MARK: "this"})
    start(**{MARK: "that"})
    start(**{MARK: "this-and-more"})
    found = wait_until(
        lambda: len(ps := job_processes("this", ancestor=parent.pid)) == 3 and {p.pid for p in ps}
    )
    assert marked.pid in found
    assert parent.pid not in found
    for pid in found - {marked.pid}:
        os.kill(pid, signal.SIGKILL)


def test_a_daemon_and_what_is_below_it_is_no_part_of_a_job(start):
    daemon = start(**{NOT_OF_A_JOB: "1"})
    other = start()
    found = {p.pid for p in job_processes("mark", ancestor=os.getpid())}
    assert other.pid in found
    assert daemon.pid not in found
