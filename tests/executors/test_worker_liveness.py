"""A job hears when one of its workers dies, and believes no stranger."""

from __future__ import annotations

import queue
import socket
import subprocess
import sys

import pytest

from adaptive_scheduler.executors.worker_liveness import Lifeline, Lifelines
from tests.waiting import PATIENCE


@pytest.fixture
def dead():
    return queue.SimpleQueue()


@pytest.fixture
def lifelines(dead):
    lifelines = Lifelines(dead.put)
    yield lifelines
    lifelines.close()


def test_a_worker_that_is_killed_is_named(lifelines, dead):
    program = (
        "import os, signal\n"
        "from adaptive_scheduler.executors.worker_liveness import Lifeline\n"
        f"held = Lifeline(*{tuple(lifelines.lifeline)!r}).hold('7 of 9')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=False, timeout=PATIENCE)
    assert dead.get(timeout=PATIENCE) == "7 of 9"


def test_a_stranger_who_hangs_up_is_no_worker(lifelines, dead):
    hosts, port, secret = lifelines.lifeline
    for said in (b"", b"GET / HTTP/1.0\r\n", b"x" * 10_000, secret[:-1] + b"?name\n"):
        with socket.create_connection((hosts[0], port)) as stranger:
            stranger.sendall(said)
    Lifeline(hosts, port, secret).hold("a worker").close()
    assert dead.get(timeout=PATIENCE) == "a worker"
    assert dead.empty()


def test_a_worker_goes_without_where_no_address_can_be_reached(lifelines):
    lifelines.close()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        assert Lifeline(["127.0.0.1"], port, b"").hold("a worker") is None
