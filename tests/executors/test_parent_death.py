"""Processes that end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from adaptive_scheduler.executors import parent_death

pytestmark = pytest.mark.system

#: A program of four processes, each of which says that it is there.
FORKING = """
import os, signal, sys
assert sys.argv[1:] == ["--some", "argument"]
os.fork()
os.fork()
os.write(1, b"here\\n")
signal.pause()
"""


def test_all_that_a_program_has_forked_ends_with_it(tmp_path):
    (tmp_path / "forking.py").write_text(FORKING)
    command = [sys.executable, "-m", parent_death.__name__, "forking", "--some", "argument"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as program:
        assert [program.stdout.readline() for _ in range(4)] == [b"here\n"] * 4
        program.kill()
        assert program.stdout.read() == b""  # when nobody has it open any more


def test_a_process_whose_parent_has_died_already_ends():
    pid = os.fork()
    if pid == 0:
        parent_death.end_with(os.getpid())  # surely not its own parent
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
