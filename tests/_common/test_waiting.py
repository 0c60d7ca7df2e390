import asyncio

import pytest

from adaptive_scheduler._common.waiting import sleep_unless_task_is_done

FOREVER = 3600.0


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, timeout=60))


def test_a_task_that_ends_ends_the_sleep():
    async def main():
        end = asyncio.Event()
        task = asyncio.create_task(end.wait())
        sleep = asyncio.create_task(sleep_unless_task_is_done(task, FOREVER))
        await asyncio.sleep(0)
        end.set()
        return await sleep

    assert run(main()) is True


def test_a_task_that_is_done_is_not_waited_for():
    async def main():
        task = asyncio.create_task(asyncio.sleep(0))
        await task
        return await sleep_unless_task_is_done(task, FOREVER, asyncio.Event())

    assert run(main()) is True


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
def test_a_task_that_fails_or_is_cancelled_is_done(error):
    async def main():
        future = asyncio.get_running_loop().create_future()
        future.cancel() if error is asyncio.CancelledError else future.set_exception(error)
        done = await sleep_unless_task_is_done(future, FOREVER)
        with pytest.raises(error):
            await future
        return done

    assert run(main()) is True


def test_the_sleep_ends_before_a_task_that_goes_on():
    async def main():
        task = asyncio.create_task(asyncio.sleep(FOREVER))
        done = await sleep_unless_task_is_done(task, 0, asyncio.Event())
        goes_on = not task.done()
        task.cancel()
        return done, goes_on

    assert run(main()) == (False, True)


@pytest.mark.parametrize("earlier", [True, False])
def test_an_event_ends_the_sleep_and_can_do_so_again(earlier):
    async def main():
        task = asyncio.create_task(asyncio.sleep(FOREVER))
        event = asyncio.Event()
        for _ in range(2):
            if earlier:
                event.set()
            sleep = asyncio.create_task(sleep_unless_task_is_done(task, FOREVER, event))
            await asyncio.sleep(0)
            event.set()
            assert await sleep is False
            assert not event.is_set()
        task.cancel()

    run(main())


def test_cancelling_the_sleep_leaves_the_task_alone_and_nothing_behind():
    async def main():
        task = asyncio.create_task(asyncio.sleep(FOREVER))
        before = asyncio.all_tasks()
        sleep = asyncio.create_task(sleep_unless_task_is_done(task, FOREVER, asyncio.Event()))
        await asyncio.sleep(0)
        sleep.cancel()
        await asyncio.wait([sleep])
        await asyncio.sleep(0)
        return sleep.cancelled(), asyncio.all_tasks() == before

    assert run(main()) == (True, True)
