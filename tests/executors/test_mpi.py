"""Jobs are rank 0 of an MPI program, and its other ranks their workers."""

from __future__ import annotations

import queue
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from adaptive_scheduler.executors.mpi import LivenessAddress, LivenessListener
from adaptive_scheduler.scheduler.script import local_mpiexec
from tests.waiting import PATIENCE

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]

#: Two learners in turn, with an evaluation that is still on its way when the first is done.
PROGRAM = """
import asyncio, linecache, os, sys
from pathlib import Path
from adaptive_scheduler.executors import mpi
from adaptive_scheduler.executors.worker import FunctionError
from tests.executors.opening import Evaluator, users_script, workers_of

def shared():
    return {p.name for p in Path("/dev/shm").glob("mpich_shm_*")} & mine()

def mine():
    return {line.split("/")[-1].strip() for line in open("/proc/self/maps") if "mpich_shm" in line}

async def main():
    mpi.check_world()
    workers = workers_of("mpi4py")
    assert workers.n_workers == 2
    for factor in (2, 3):
        arrived = Path(sys.argv[1], f"arrived-{factor}")
        arrived.touch()
        def prepare():
            with arrived.open("a") as file:
                file.write(f"{os.getpid()}\\n")
        e = Evaluator(workers, lambda x: (factor * x, os.getpid()), prepare)
        results = await e.at_all(range(10))
        assert [y for y, _ in results] == [factor * x for x in range(10)]
        pids = arrived.read_text().split()
        assert {str(pid) for _, pid in results} <= set(pids) and len(pids) == len(set(pids)) == 2
        e.submit(0)
        e.executor.close()
    lines = ["def invert(x):\\n", "    return 1 / x\\n"]
    linecache.cache["<cell>"] = (0, None, lines, "<cell>")
    e = Evaluator(workers, users_script("".join(lines), "<cell>").invert)
    try:
        await e.at(0)
    except FunctionError as error:
        assert '"<cell>", line 2, in invert\\n    return 1 / x' in error.traceback_text
    else:
        raise AssertionError
    assert not shared(), shared()
    workers.close()
    print("the end")

asyncio.run(main())
"""


def run(*command):
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT, check=False
    )


def test_ranks_serve_one_learner_after_another_and_leave_nothing(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{PROGRAM}")
    launcher = local_mpiexec(sys.executable)
    ended = run(
        *launcher, "-n", "3", sys.executable, "-m", "mpi4py.futures", str(program), str(tmp_path)
    )
    assert ended.stdout == "the end\n", ended.stderr
    assert ended.returncode == 0


@pytest.mark.parametrize("module", [["-m", "mpi4py.futures"], []])
def test_a_rank_that_is_alone_says_what_to_do(module):
    ended = run(
        *(sys.executable, *module, "-m", "adaptive_scheduler.run_learner"),
        *("--run-folder=nowhere", "--job-id=1", "--number=0", "--executor-type=mpi4py"),
    )
    assert ended.returncode != 0
    assert "with one rank" in ended.stderr
    assert "mpiexec_executable" in ended.stderr


@pytest.fixture
def dead():
    return queue.SimpleQueue()


@pytest.fixture
def listener(dead):
    listener = LivenessListener(dead.put)
    yield listener
    listener.close()


def test_a_worker_that_is_killed_is_named(listener, dead):
    program = (
        "import os, signal\n"
        "from adaptive_scheduler.executors.mpi import LivenessAddress\n"
        f"held = LivenessAddress(*{tuple(listener.address)!r}).connect('7 of 9')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=False, timeout=PATIENCE)
    assert dead.get(timeout=PATIENCE) == "7 of 9"


def test_a_stranger_who_hangs_up_is_no_worker(listener, dead):
    hosts, port, secret = listener.address
    for said in (b"", b"GET / HTTP/1.0\r\n", b"x" * 10_000, secret[:-1] + b"?name\n"):
        with socket.create_connection((hosts[0], port)) as stranger:
            stranger.sendall(said)
    LivenessAddress(hosts, port, secret).connect("a worker").close()
    assert dead.get(timeout=PATIENCE) == "a worker"
    assert dead.empty()


def test_a_worker_goes_without_where_no_address_can_be_reached(listener):
    listener.close()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        assert LivenessAddress(["127.0.0.1"], port, b"").connect("a worker") is None
