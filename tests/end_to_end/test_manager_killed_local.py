"""Managers are killed one after the other at any step, and their jobs are processes that run on."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from random import Random

from adaptive_scheduler.run_folder import events
from tests.asynchronous import in_a_loop
from tests.end_to_end.crashing_manager import N_LEARNERS, N_POINTS, make_learners
from tests.end_to_end.ledger import Ledger
from tests.end_to_end.looking import (
    processes_in,
    records,
    saved_points,
    wait_for_empty_queue,
)
from tests.end_to_end.test_manager_killed import Managers, errors
from tests.waiting import wait_until

#: How many evaluations two jobs begin until both wait.
BEGUN = 2 * (N_POINTS // 2 + 1)
#: Which series there are, and how many managers die in each of their three parts.
SEEDS = (1, 2)
N_DEATHS = 4
#: The steps of every manager: it opens the journal, and writes learners, keys and settings.
START = 19
#: Then it submits, if it has to, and writes down what jobs say, at three steps each.
LATER = 45


async def die_one_after_the_other(managers, folder, seed):
    """Have managers die before jobs run, while they wait at a gate, and while they end."""
    folder.mkdir()
    random, ledger = Random(seed), Ledger(folder / "ledger")

    async def die(last_step):
        for _ in range(N_DEATHS):
            code = await managers.manage(folder, die_at=random.randint(1, last_step), jobs="local")
            assert code in (0, -signal.SIGKILL), errors(folder)

    await die(START)
    await managers.manage(folder, die_at="after the submission", jobs="local")
    await asyncio.to_thread(wait_until, lambda: len(ledger.begun()) == BEGUN)
    await die(START)
    (folder / "gate").touch()
    await die(LATER)
    assert await managers.manage(folder, jobs="local") == 0, errors(folder)


def check_that_all_was_done_once(folder):
    journal, ledger = folder / "run" / "journal.jsonl", Ledger(folder / "ledger")
    done = Counter(record.learner for record in records(events.Done, journal))
    assert done == dict.fromkeys(range(N_LEARNERS), 1)
    assert len(records(events.ManagerStarted, journal)) > N_DEATHS
    assert records(events.RunEnded, journal)[-1].status == "finished"
    assert ledger.twice() == []
    for index, learner in enumerate(make_learners(folder, are_noted=True)):
        assert ledger.points(index) == set(range(N_POINTS))
        assert len(ledger.jobs(index)) == 1
        assert saved_points(learner, folder / "data" / f"{index}.pickle") == set(range(N_POINTS))


@in_a_loop
async def test_at_whatever_steps_managers_are_killed_running_jobs_do_all_once(here):
    folders = [here / f"series {seed}" for seed in SEEDS]
    async with Managers.open() as managers:
        series = [
            die_one_after_the_other(managers, folder, seed)
            for folder, seed in zip(folders, SEEDS, strict=True)
        ]
        await asyncio.gather(*series)
    await asyncio.to_thread(wait_for_empty_queue)
    await asyncio.to_thread(wait_until, lambda: not any(map(processes_in, folders)))
    for folder in folders:
        check_that_all_was_done_once(folder)
