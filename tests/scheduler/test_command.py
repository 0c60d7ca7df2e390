"""Commands of schedulers are run such that nothing they do stops us."""

from __future__ import annotations

import sys
import time

import pytest

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler.command import Finished, run_command, shown
from tests.cluster.processes import is_alive
from tests.waiting import wait_until

pytestmark = pytest.mark.system


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_command_says_what_it_says():
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    done = run_command(python(code))
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_a_command_gets_no_input():
    assert run_command(python("import sys; print(repr(sys.stdin.read()))")).stdout == "''\n"


def test_bytes_that_are_no_text_are_replaced():
    done = run_command(python(r"import sys; sys.stdout.buffer.write(b'\xff|\xc3\xa9')"))
    assert done.stdout == "\ufffd|é"


def test_a_command_gets_the_environment_that_it_is_given():
    done = run_command(python("import os; print(os.environ['A'])"), environment={"A": "π"})
    assert done.stdout == "π\n"


def test_more_output_than_a_pipe_holds_is_read():
    done = run_command(
        python("import sys; print('x' * 10**6); print('y' * 10**6, file=sys.stderr)")
    )
    assert (len(done.stdout), len(done.stderr)) == (10**6 + 1, 10**6 + 1)


def test_a_command_that_does_not_answer_is_killed_with_all_that_it_started(tmp_path):
    pids, timeout = tmp_path / "pids", 0.5
    code = f"echo $$ >> '{pids}'; (echo $BASHPID >> '{pids}'; sleep 1000) & sleep 1000"
    pids.touch()
    while len(pids.read_text().split()) < 2:  # on a busy machine it may not have begun by then
        pids.write_text("")
        start = time.monotonic()
        words = rf"bash -c .* did not answer within {timeout:g} s"
        with pytest.raises(SchedulerUnavailableError, match=words):
            run_command(["bash", "-c", code], timeout=timeout)
        assert time.monotonic() - start < timeout + 30
        timeout *= 3
    wait_until(lambda: not any(is_alive(int(pid)) for pid in pids.read_text().split()))


def test_a_command_that_there_is_not_is_no_answer():
    with pytest.raises(SchedulerUnavailableError, match="`no-such-command` can't be run: No such"):
        run_command(["no-such-command", "x"])


def test_a_command_that_is_killed_is_no_answer():
    with pytest.raises(SchedulerUnavailableError, match="SIGKILL"):
        run_command(["bash", "-c", "kill -KILL $$"])


def test_ctrl_c_is_not_for_the_command():
    done = run_command(python("import os; print(os.getsid(0) == os.getpid())"))
    assert done.stdout == "True\n"


def test_a_long_command_is_shown_in_part():
    assert shown(["echo", "a b"]) == "echo 'a b'"
    assert len(shown(["scancel", *map(str, range(10_000))])) < 300


@pytest.mark.parametrize(
    ("stdout", "stderr", "complaint"),
    [
        ("x", "sbatch: error: no\n", "sbatch: error: no"),
        ("no room\n", "", "no room"),
        ("", "\n", "exit code 7"),
    ],
)
def test_a_complaint_is_never_empty(stdout, stderr, complaint):
    assert Finished(["x"], 7, stdout, stderr).complaint == complaint
