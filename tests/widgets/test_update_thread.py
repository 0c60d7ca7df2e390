"""One thread writes, again and again, until it is closed."""

from __future__ import annotations

import threading

from adaptive_scheduler.widgets.update_thread import UpdateThread
from tests.waiting import PATIENCE, wait_until


def test_it_calls_again_and_again_from_one_thread():
    threads = []
    writer = UpdateThread(lambda: threads.append(threading.current_thread()), interval=0.1)
    writer.start()
    wait_until(lambda: len(threads) >= 3)
    writer.close()
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()


def test_it_calls_soon_when_it_is_nudged():
    called = threading.Semaphore(0)
    writer = UpdateThread(called.release, interval=10 * PATIENCE)
    writer.start()
    assert called.acquire(timeout=PATIENCE)
    writer.nudge()
    assert called.acquire(timeout=PATIENCE)
    writer.close()


def test_after_it_was_closed_nothing_is_called():
    calls = []
    writer = UpdateThread(lambda: calls.append(1), interval=0.1)
    writer.start()
    wait_until(lambda: calls)
    writer.close()
    n_calls = len(calls)
    writer.nudge()
    assert not writer.is_alive
    assert not writer._thread.is_alive()
    assert len(calls) == n_calls


def test_an_error_is_logged_once_and_ends_nothing(caplog):
    calls = []

    def update():
        calls.append(1)
        raise ValueError("no")

    writer = UpdateThread(update, interval=0.1)
    writer.start()
    wait_until(lambda: len(calls) >= 3)
    writer.close()
    assert sum("brought up to date" in record.message for record in caplog.records) == 1
