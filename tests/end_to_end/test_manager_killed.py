"""The manager is killed at any moment, and the next one brings the run to its end.

At each step that it does on disk or with the scheduler: before a record is
written, in the middle of it, before and when it is on disk, before and after a
submission, at each renaming of a compaction. The jobs are played here, with
what real jobs use to deal with the manager and the run folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections import Counter
from itertools import chain
from random import Random

import pytest

from adaptive_scheduler.client_support import manager_client as client_module
from adaptive_scheduler.client_support.fence import SupersededError
from adaptive_scheduler.client_support.manager_client import ManagerClient
from adaptive_scheduler.client_support.place import Place
from adaptive_scheduler.protocol import client as connection_module
from adaptive_scheduler.protocol import messages
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import read_journal
from adaptive_scheduler.run_folder.models import DONE
from adaptive_scheduler.run_folder.outbox import Outbox
from adaptive_scheduler.run_folder.spec import RunSpec
from adaptive_scheduler.run_folder.state import RunState
from tests.asynchronous import in_a_loop
from tests.end_to_end.crashing_manager import END, N_LEARNERS
from tests.end_to_end.schedulers import Played

#: Runs at the same time; they mostly wait.
AT_ONCE = 12


@pytest.fixture(autouse=True)
def _quick_jobs(monkeypatch):
    monkeypatch.setattr(connection_module, "_FIRST_PAUSE", 0.1)
    monkeypatch.setattr(client_module, "_LITTLE_PATIENCE", 0.2)
    monkeypatch.setattr(client_module, "_PATIENCE", 20.0)


class Managers:
    """Starts managers and hears of their ends."""

    def __init__(self, process):
        self._process = process
        self._ends = {}
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.end_to_end.crashing_manager",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        managers = cls(process)
        try:
            yield managers
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            managers._reading.cancel()

    async def _read(self):
        while line := await self._process.stdout.readline():
            end = json.loads(line)
            self._ends.pop(end["folder"]).set_result(end["code"])

    async def manage(self, folder, *, die_at=0, compacts=False, jobs="played"):
        """Have a manager manage the run in `folder`; return its exit code, or minus its signal."""
        self._ends[str(folder)] = asyncio.get_running_loop().create_future()
        order = {"folder": str(folder), "die_at": die_at, "compacts": compacts, "jobs": jobs}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        return await self._ends[str(folder)]


class Jobs:
    """Plays the jobs of a run, two at a time, each as long as it finds something to do."""

    def __init__(self, folder):
        self.folder = folder
        self.scheduler = Played(folder / "queue")
        self.computed = []
        self.saved = Counter()
        self._playing = {}

    @contextlib.asynccontextmanager
    async def played(self):
        playing = asyncio.ensure_future(self._play())
        try:
            yield
        finally:
            playing.cancel()
            await asyncio.gather(playing, *self._playing.values(), return_exceptions=True)
            self.raise_errors()

    async def _play(self):
        while True:
            for job_id in sorted(self.scheduler.queue()):
                if job_id not in self._playing and self._n_running() < 2:
                    self._playing[job_id] = asyncio.ensure_future(self._run(job_id))
            await asyncio.sleep(0.01)

    def _n_running(self):
        return sum(not job.done() for job in self._playing.values())

    async def are_over(self):
        """Wait until no job is left."""
        while self.scheduler.queue():
            await asyncio.sleep(0.01)
            self.raise_errors()

    def raise_errors(self):
        """Raise what a job has raised: no job may fail, whatever happens to its manager."""
        for job in self._playing.values():
            if job.done() and not job.cancelled():
                job.result()

    async def _run(self, job_id):
        folder = self.folder / "run"
        number = int(job_id.rpartition("_")[2])
        spec, place = RunSpec.read(folder), Place(folder)
        manager = ManagerClient(
            folder, spec, messages.JobIdentity(job_id), number, N_LEARNERS, place=place
        )
        try:
            while (attempt := await manager.next_attempt()) is not None:
                self.computed.append(attempt.learner)
                await manager.status({"npoints": 1})
                with contextlib.suppress(SupersededError):
                    manager.check_holding()
                    self.saved[attempt.learner] += 1
                    await manager.report(
                        messages.Done(manager.job, manager.holding, {"npoints": 1})
                    )
        finally:
            manager.close()
            self.scheduler.end(job_id)


def steps(folder):
    return (folder / "steps").read_text().splitlines()


def errors(folder):
    return (folder / "errors").read_text()


def check_that_all_is_well(folder, jobs):
    """Check that every learner is done, each once, and that no job is left."""
    state = RunState([0] * N_LEARNERS)
    n_done = Counter()
    for record in read_journal(folder / "run" / "journal.jsonl"):
        state.apply(record)
        if isinstance(record, events.Done):
            n_done[record.learner] += 1
    assert state.learners.counts[DONE] == N_LEARNERS
    assert state.ended == "finished"
    assert set(n_done.values()) <= {1}
    assert sorted(jobs.computed) == sorted(jobs.saved.elements()) == list(range(N_LEARNERS))
    assert jobs.scheduler.queue() == {}
    # On a busy machine an answer may come when the job has already left the same in the outbox.
    left = [message for _, message in Outbox(folder / "run" / "outbox").messages()]
    assert all(isinstance(message, messages.Done) for message in left)


async def survived(managers, folder, deaths, *, alone=False):
    """Have managers die one after the other, and the last one finish the run.

    Parameters
    ----------
    deaths
        For each of these managers the step at which it dies, and whether it compacts.
    alone
        Whether the jobs go on after the first death until none has anything to do.

    Returns
    -------
    list of str
        The steps at which they died; those that finished before are left out.
    """
    (folder / "queue").mkdir(parents=True)
    jobs = Jobs(folder)
    died_at = []
    async with jobs.played():
        for die_at, compacts in deaths:
            code = await managers.manage(folder, die_at=die_at, compacts=compacts)
            assert code in (0, -signal.SIGKILL), errors(folder)
            died_at += [steps(folder)[-1]] if code else []
            if alone:
                await jobs.are_over()
        assert await managers.manage(folder) == 0, errors(folder)
        await jobs.are_over()
    check_that_all_is_well(folder, jobs)
    return died_at


async def all_of(make, cases):
    """Do for each case what `make` says, some at a time; return all that was found."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(case):
        async with free:
            return await make(case)

    return list(chain.from_iterable(await asyncio.gather(*map(one, cases))))


def plain(step):
    """Return a step without what is random in the names of its files."""
    return re.sub(r"\.tmp-\S+(\.\w+) ", r"new\1 ", step)


@in_a_loop
async def test_at_whatever_step_the_manager_is_killed_each_learner_is_done_once(tmp_path):
    async with Managers.open() as managers:
        # At a step that no manager has, none dies: that tells how many there are.
        await survived(managers, tmp_path / "first", [(10**6, False)])
        n_steps = steps(tmp_path / "first").index(END)

        async def kill(at):
            return await survived(managers, tmp_path / str(at), [(at, False)], alone=at % 2 == 0)

        died_at = await all_of(kill, range(1, n_steps + 1))
    kinds = set(map(plain, died_at))
    assert kinds >= {
        "in the middle of journal.jsonl",
        "before journal.jsonl is on disk",
        "when journal.jsonl is on disk",
        "before the submission",
        "after the submission",
        "before connection.json is replaced",
        "when learners.pack is replaced",
    }
    assert len(died_at) > n_steps // 2


@in_a_loop
async def test_at_whatever_step_of_a_compaction_it_is_killed_nothing_is_forgotten(tmp_path):
    async with Managers.open() as managers:

        async def kill(at):
            # The first one dies when some learners are done and others are not.
            return await survived(managers, tmp_path / str(at), [(40, False), (at, True)])

        died_at = await all_of(kill, range(1, 12))
    assert set(died_at) >= {
        "in the middle of journal.jsonl.new",
        "before journal.jsonl.new is on disk",
        "before journal.jsonl is replaced",
        "when journal.jsonl is replaced",
    }


@in_a_loop
async def test_managers_that_are_killed_one_after_the_other_get_there_in_the_end(tmp_path):
    async with Managers.open() as managers:

        async def kill(seed):
            random = Random(seed)
            deaths = [(random.randint(1, 50), random.random() < 0.5) for _ in range(10)]
            return await survived(managers, tmp_path / str(seed), deaths)

        died_at = await all_of(kill, range(6))
    assert len(died_at) > 6 * 3
