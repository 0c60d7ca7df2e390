"""Managers of one process don't ask the same queue one after the other."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler import SLURM, Local
from adaptive_scheduler.server_support import queue_poller
from adaptive_scheduler.server_support.queue_poller import QueuePollers
from tests.waiting import PATIENCE


class Scheduler:
    min_poll_interval = 5.0

    def __init__(self, key="cluster"):
        self.queue_key = key
        self.n_asked = 0
        self.trouble = None
        self.may_answer = threading.Event()
        self.may_answer.set()

    def queue(self):
        self.n_asked += 1
        assert self.may_answer.wait(PATIENCE)
        if self.trouble:
            raise self.trouble
        return {str(self.n_asked): {}}


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that stands still unless it is told to go on."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(queue_poller.time, "time", lambda: clock.now)
    return clock


@pytest.fixture
def queues():
    return QueuePollers()


def ignore(asked_at):
    pass


def test_one_look_serves_two_managers(queues, clock):
    async def play():
        scheduler = Scheduler()
        first, second = queues.join(scheduler, ignore), queues.join(Scheduler(), ignore)
        looks = [await first.look(scheduler, 0), await second.look(scheduler, 0)]
        assert looks[0] is looks[1]
        assert (scheduler.n_asked, looks[0].asked_at) == (1, 1000.0)

    asyncio.run(play())


def test_a_look_that_is_awaited_serves_who_comes_later(queues, clock):
    async def play():
        scheduler = Scheduler()
        queue = queues.join(scheduler, ignore)
        scheduler.may_answer.clear()
        first = asyncio.create_task(queue.look(scheduler, 0))
        await asyncio.sleep(0)
        clock.now += 60
        second = asyncio.create_task(queue.look(scheduler, 0))
        await asyncio.sleep(0)
        scheduler.may_answer.set()
        assert await first is await second
        assert scheduler.n_asked == 1

    asyncio.run(play())


def test_who_knows_the_last_look_gets_another(queues, clock):
    async def play():
        scheduler = Scheduler()
        queue = queues.join(scheduler, ignore)
        look = await queue.look(scheduler, 0)
        clock.now += 1
        again = await queue.look(scheduler, look.asked_at)
        assert (again.asked_at, list(again.queue)) == (1001.0, ["2"])

    asyncio.run(play())


def test_an_old_look_serves_nobody(queues, clock):
    async def play():
        scheduler = Scheduler()
        queue = queues.join(scheduler, ignore)
        await queue.look(scheduler, 0)
        clock.now += Scheduler.min_poll_interval
        await queue.look(scheduler, 0)
        assert scheduler.n_asked == 2

    asyncio.run(play())


def test_all_managers_hear_of_a_look(queues, clock):
    async def play():
        scheduler, heard = Scheduler(), []
        queues.join(scheduler, heard.append)
        queue = queues.join(scheduler, heard.append)
        await queue.look(scheduler, 0)
        assert heard == [1000.0, 1000.0]
        queues.leave(queue, heard.append)
        clock.now += 10
        await queue.look(scheduler, 0)
        assert len(heard) == 3

    asyncio.run(play())


def test_trouble_is_shared_and_does_not_last(queues, clock):
    async def play():
        scheduler, heard = Scheduler(), []
        queue = queues.join(scheduler, heard.append)
        scheduler.trouble = SchedulerUnavailableError("no answer")
        for _ in range(2):
            with pytest.raises(SchedulerUnavailableError, match="no answer"):
                await queue.look(scheduler, 0)
        assert (scheduler.n_asked, heard) == (1, [])
        scheduler.trouble = None
        clock.now += 1
        assert (await queue.look(scheduler, 1000.0)).asked_at == 1001.0

    asyncio.run(play())


def test_a_manager_that_does_not_wait_any_longer_takes_the_look_from_nobody(queues, clock):
    async def play():
        scheduler = Scheduler()
        queue = queues.join(scheduler, ignore)
        scheduler.may_answer.clear()
        first = asyncio.create_task(queue.look(scheduler, 0))
        second = asyncio.create_task(queue.look(scheduler, 0))
        await asyncio.sleep(0)
        first.cancel()
        scheduler.may_answer.set()
        assert (await second).asked_at == 1000.0

    asyncio.run(play())


def test_other_queues_are_asked_on_their_own(queues, clock):
    one, other = Scheduler("one"), Scheduler("other")
    assert queues.join(one, ignore) is not queues.join(other, ignore)


def test_a_queue_that_nobody_watches_is_forgotten(queues, clock):
    scheduler = Scheduler()
    queue = queues.join(scheduler, ignore)
    queues.leave(queue, ignore)
    assert queues.join(scheduler, ignore) is not queue


def test_schedulers_of_the_same_cluster_have_the_same_queue(monkeypatch):
    here = SLURM(cores=1).queue_key
    assert here == SLURM(cores=2).queue_key != Local(1).queue_key
    monkeypatch.setenv("SLURM_CONF", "/elsewhere/slurm.conf")
    assert SLURM(cores=1).queue_key != here
