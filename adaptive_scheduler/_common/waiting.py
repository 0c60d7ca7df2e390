"""Wait in asyncio for whatever happens first."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["sleep_unless_task_is_done"]


async def sleep_unless_task_is_done(
    task: asyncio.Future[Any],
    sleep_duration: float,
    trigger_event: asyncio.Event | None = None,
) -> bool:
    """Sleep until `task` is done, the time is over, or somebody sets the event.

    Parameters
    ----------
    task
        What may end the sleep. Neither its result nor its exception is looked
        at, and it goes on if the sleep ends first or is cancelled.
    sleep_duration
        How long to sleep, in seconds.
    trigger_event
        An event that ends the sleep; it is cleared whatever ended it.

    Returns
    -------
    bool
        Whether `task` is done.
    """
    triggered = None if trigger_event is None else asyncio.ensure_future(trigger_event.wait())
    waited_for = {task} if triggered is None else {task, triggered}
    try:
        await asyncio.wait(waited_for, timeout=sleep_duration, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if triggered is not None:
            triggered.cancel()
    if trigger_event is not None:
        trigger_event.clear()
    return task.done()
