"""Clusters that a job starts: once for all learners, closed to strangers, and gone in the end."""

from __future__ import annotations

import asyncio
import linecache
import mmap
import os
import re
import signal
import ssl
import stat
import sys
import threading
import uuid
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from adaptive_scheduler.executors.cluster import forget_names
from adaptive_scheduler.executors.worker import FunctionError, WorkerError
from tests.asynchronous import in_a_loop
from tests.executors.opening import Evaluator, is_gone, users_script, workers_of
from tests.waiting import wait_until

pytestmark = pytest.mark.system


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a cluster with two workers; nothing of it is left."""
    started = []
    (tmp_path / "run").mkdir()

    def start(kind):
        n_cores = 3 if kind == "ipyparallel" else 2
        started.append(workers_of(kind, n_cores, scratch=tmp_path / "run" / "scratch" / "1"))
        return started[-1]

    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield start
    for workers in started:
        workers.close()
    wait_until(lambda: not [t for t in threading.enumerate() if t.name in ("dask", "ipyparallel")])
    wait_until(lambda: not _new_children(before))
    assert list((tmp_path / "run").iterdir()) == []


def _new_children(before):
    children = psutil.Process().children(recursive=True)
    return [c for c in children if c.pid not in before and not is_gone(c)]


class Counted:
    """A function that says when it arrives in a process."""

    def __init__(self, path, factor):
        self.path = path
        self.factor = factor
        self.array = np.zeros(1_000_000)

    def __setstate__(self, state):
        vars(self).update(state)
        note_oneself(self.path)

    def __call__(self, x):
        return self.factor * x


def note_oneself(path):
    with path.open("a") as file:
        file.write(f"{os.getpid()}\n")


def pids_in(path):
    return sorted(path.read_text().split())


def have_the_same(one, other):
    return pids_in(one) == pids_in(other)


def raise_or_wait(x):
    if x is None:
        raise ValueError("no value here")
    if isinstance(x, Path):
        x.write_text(str(os.getpid()))
        threading.Event().wait()
    return x


#: A cell of a notebook, as `linecache` keeps it.
CELL = (0, None, ["def invert(x):\n", "    return 1 / x\n"], "<ipython-input-7-89ab>")


@pytest.mark.parametrize("kind", ["dask", "ipyparallel"])
@in_a_loop
async def test_workers_serve_one_learner_after_another(kind, start, tmp_path):
    workers = start(kind)

    # The function travels once to each worker, for each learner; initializers run before.
    pids = []
    for factor in (2, 3):
        path, prepared = (tmp_path / f"{name}-{factor}" for name in ("arrived", "prepared"))
        path.touch()
        e = Evaluator(workers, Counted(path, factor), partial(note_oneself, prepared))
        assert await e.at_all(range(10)) == [factor * x for x in range(10)]
        e.executor.close()
        # A worker that has come late may just have got the function, and not be prepared yet.
        await asyncio.to_thread(wait_until, partial(have_the_same, path, prepared))
        arrived = pids_in(path)
        pids.append(set(arrived))
        assert len(arrived) == len(pids[-1]) <= 2
    assert pids[0] <= pids[1] or pids[1] <= pids[0]  # the second worker may come late

    # What is raised is the function's; what nobody waits for any more keeps no learner waiting.
    e = Evaluator(workers, raise_or_wait)
    with pytest.raises(FunctionError, match="no value here"):
        await e.at(None)
    e.executor.close()
    script = users_script("def invert(x):\n    return 1 / x\n", "<ipython-input-7-89ab>")
    linecache.cache["<ipython-input-7-89ab>"] = CELL
    e = Evaluator(workers, script.invert)
    with pytest.raises(FunctionError) as caught:
        await e.at(0)
    assert '7-89ab>", line 2, in invert\n    return 1 / x' in caught.value.traceback_text
    e.executor.close()
    e = Evaluator(workers, raise_or_wait)
    busy = e.submit(tmp_path / "busy")
    await asyncio.to_thread(wait_until, (tmp_path / "busy").exists)
    e.executor.close()
    assert busy.cancelled()
    e = Evaluator(workers, raise_or_wait)
    assert await e.at_all(range(5)) == list(range(5))
    e.executor.close()


@in_a_loop
async def test_dask_repeats_a_point_whose_worker_died_and_talks_to_nobody_else(start, tmp_path):
    workers = start("dask")
    marker = tmp_path / "killed"

    def die_once(x):
        if x == 3 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    e = Evaluator(workers, die_once)
    assert await e.at_all(range(6)) == list(range(6))

    # What the processes share would be there for ever, if it had names and all were killed.
    await asyncio.to_thread(wait_until, lambda: not named_semaphores())

    # Whoever has no key signed by this job is not heard; only the user can read the keys.
    keys = list(tmp_path.rglob("*.pem"))
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    living = [c for c in psutil.Process().children() if not is_gone(c)]
    address = (
        next(c for c in map(command_of, living) if "tls://" in c).partition("tls://")[2].split()[0]
    )
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await speak(host, int(port), context)
    e.executor.close()


def named_semaphores():
    """Return the files of semaphores that processes of the cluster have."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with suppress(OSError):  # it has ended
            maps = Path(f"/proc/{child.pid}/maps").read_text()
            found |= set(re.findall(r"/dev/shm/sem\.mp-\w+$", maps, re.MULTILINE))
    return found


def command_of(process):
    """Return the command line of a process; empty if it has ended meanwhile."""
    with suppress(psutil.NoSuchProcess):  # or is a zombie
        return " ".join(process.cmdline())
    return ""


async def speak(host, port, context):
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    writer.write(b"x" * 100)
    await writer.drain()
    await reader.readexactly(1)


@in_a_loop
async def test_an_engine_that_dies_is_told_and_the_next_learner_gets_others(start):
    workers = start("ipyparallel")
    e = Evaluator(workers, lambda x: os.kill(os.getpid(), signal.SIGKILL) if x else 0)
    dead = e.submit(1)
    with pytest.raises(WorkerError, match=r"ipyparallel were lost|engine died"):
        await asyncio.wrap_future(e.executor.lost)
    assert not dead.done()  # no point is to blame
    e.executor.close()
    e = Evaluator(workers, lambda x: x)
    assert await e.at_all(range(5)) == list(range(5))
    e.executor.close()


ROOT = Path(__file__).parents[2]

#: A job that is killed in the middle of an evaluation.
KILLED = """
import asyncio, threading
from pathlib import Path
from tests.executors.opening import Evaluator, workers_of

def wait(x):
    Path("busy").touch()
    threading.Event().wait()

async def main():
    evaluator = Evaluator(workers_of({kind!r}, 3), wait)
    await evaluator.at(0)

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["dask", "ipyparallel"])
def test_all_processes_of_a_job_that_is_killed_end(kind, tmp_path):
    command = [sys.executable, "-c", KILLED.format(kind=kind)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    job = psutil.Popen(command, cwd=tmp_path, env=environment)
    try:
        wait_until((tmp_path / "busy").exists)
        processes = job.children(recursive=True)
    finally:
        job.kill()
        job.wait()
    assert len(processes) >= 2
    wait_until(lambda: all(map(is_gone, processes)))


def test_memory_that_is_shared_loses_its_name_and_serves_on():
    word = uuid.uuid4().hex
    mine, others = (Path("/dev/shm") / f"{name}-{word}" for name in ("mine", "others"))
    try:
        memories = []
        for path in (mine, others):
            path.write_bytes(b"shared")
            with path.open("r+b") as file:
                memories.append(mmap.mmap(file.fileno(), 0))
        forget_names(r"mine-\w+")
        assert not mine.exists()
        assert others.exists()
        assert memories[0][:] == b"shared"
    finally:
        others.unlink()
        mine.unlink(missing_ok=True)
