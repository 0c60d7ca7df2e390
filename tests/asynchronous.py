"""Tests that are coroutines."""

from __future__ import annotations

import asyncio
import functools

from tests.waiting import PATIENCE


def in_a_loop(test=None, *, timeout=PATIENCE):
    """Run a test on an event loop of its own, for as long as everything may take."""
    if test is None:
        return functools.partial(in_a_loop, timeout=timeout)

    @functools.wraps(test)
    def run(*args, **kwargs):
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), timeout))

    return run
