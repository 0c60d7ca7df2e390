"""Reads what jobs have left in the run folder, for the manager."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from adaptive_scheduler.protocol import messages
from adaptive_scheduler.run_folder.outbox import Outbox

log = logging.getLogger(__name__)

#: Seconds for which a file of the outbox must be unreadable until it is kept aside.
_UNREADABLE_FOR = 60.0
#: Seconds for which messages of the outbox may take to be written down.
_PATIENCE = 10.0


class OutboxReader:
    """Has the messages of an outbox handled, and each deleted when that is written down.

    Parameters
    ----------
    outbox
        What is read.
    answer
        Handles a message; called on the event loop.
    flushed
        Waits for some seconds until the journal is on disk, and returns whether it is.
    """

    def __init__(
        self,
        outbox: Outbox,
        answer: Callable[[messages.Message], object],
        flushed: Callable[[float], Awaitable[bool]],
    ) -> None:
        self._outbox = outbox
        self._answer = answer
        self._flushed = flushed
        self._unreadable: dict[Path, float] = {}
        #: Files that held no message, under their new names.
        self.kept_aside: list[Path] = []
        self._error = ""

    @property
    def trouble(self) -> str:
        """Why the outbox can't be read, or what was no message; empty if all is well."""
        aside = ", ".join(map(str, self.kept_aside))
        return self._error or (f"No message of a job, and kept aside: {aside}" if aside else "")

    async def read(self) -> None:
        """Handle and delete what is there. What can't be read is tried again the next time."""
        try:
            handled = await self.handle()
        except OSError as error:
            words = f"The reports in '{self._outbox.folder}' can't be read: {error}"
            if words != self._error:
                log.warning("%s", words)
            self._error = words
            return
        self._error = ""
        # What isn't written down yet is left there, and handled once more.
        if handled and await self._flushed(_PATIENCE):
            await asyncio.to_thread(delete, handled)

    async def handle(self) -> list[Path]:
        """Handle each message, and return the files that held one.

        Raises
        ------
        OSError
            If the outbox can't be read.
        """
        found = await asyncio.to_thread(lambda: list(self._outbox.messages()))
        for _, message in found:
            if message is not None:
                self._answer(message)
        unreadable = [path for path, message in found if message is None]
        await asyncio.to_thread(self._keep_aside, unreadable)
        return [path for path, message in found if message is not None]

    def _keep_aside(self, paths: Collection[Path]) -> None:
        """Rename files that have held no message for a while: nobody is writing them."""
        now = time.monotonic()
        self._unreadable = {path: self._unreadable.get(path, now) for path in paths}
        for path, since in self._unreadable.items():
            if now - since >= _UNREADABLE_FOR:
                aside = path.with_name(f"{path.name}.unreadable")
                path.rename(aside)
                log.warning("'%s' holds no message of a job and was kept aside.", aside)
                self.kept_aside.append(aside)


def delete(paths: Collection[Path]) -> None:
    """Delete files of the outbox; some may be gone."""
    for path in paths:
        path.unlink(missing_ok=True)
