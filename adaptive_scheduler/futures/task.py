"""What waits for the outcome of one call."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from concurrent.futures import Future
from typing import Any, TypeVar

from adaptive_scheduler.futures.service import CallService

T = TypeVar("T")


class SlurmTask(Future[T]):
    """One call: a `concurrent.futures.Future` that can also be awaited.

    It can be cancelled until a job has it. Asking for its result starts
    whatever was gathered so far.
    """

    def __init__(self, service: CallService) -> None:
        super().__init__()
        self._service = service

    def result(self, timeout: float | None = None) -> T:
        """Wait for what the function returns, or raise what it raised.

        Parameters
        ----------
        timeout
            Seconds to wait at most; None waits for ever.

        Raises
        ------
        TimeoutError
            If it isn't there by then.
        concurrent.futures.CancelledError
            If the call or its run was cancelled.
        """
        self._service.hurry()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for what the function raises; None if it returns. See `result`."""
        self._service.hurry()
        return super().exception(timeout)

    def cancel(self) -> bool:
        """Cancel the call, unless a job has it; return whether it is cancelled."""
        is_cancelled = super().cancel()
        if is_cancelled:
            self._service.forget(self)
        return is_cancelled

    def __await__(self) -> Generator[Any, None, T]:
        async def wait() -> T:
            self._service.hurry()
            # Interrupting the cell that awaits must not cancel the call.
            return await asyncio.shield(asyncio.wrap_future(self))

        return wait().__await__()
