"""The one thread that writes to a widget."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

#: Seconds between two pushes.
INTERVAL = 1.0
#: Seconds between two pushes at the least, however much is wanted.
_SHORTEST = 0.1


class UpdateThread:
    """Calls a function again and again in a thread of its own, until it is closed.

    Two threads that write to one widget at once disturb each other, and the
    main thread is busy while a cell computes: so this one writes, and no other.

    Parameters
    ----------
    update
        Called every `interval` seconds, and after `nudge`. If it raises, that
        is logged, once for each kind of error, and it is called again.
    interval
        In seconds.
    """

    def __init__(self, update: Callable[[], None], interval: float = INTERVAL) -> None:
        self._update = update
        self._interval = interval
        self._woken = threading.Event()
        self._closed = threading.Event()
        self._told: set[str] = set()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(
            target=self._run, name="adaptive-scheduler-widget", daemon=True
        )
        self._thread.start()

    def nudge(self) -> None:
        """Have the function called soon."""
        self._woken.set()

    def close(self) -> None:
        """End; the function is not called again, once this has returned."""
        self._closed.set()
        self._woken.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    @property
    def is_alive(self) -> bool:
        """Whether the function is still going to be called."""
        return not self._closed.is_set()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._woken.clear()
            try:
                self._update()
            except Exception as error:  # told once; the next update may do
                if repr(error) not in self._told:
                    self._told.add(repr(error))
                    log.exception("A widget could not be brought up to date.")
            if not self._closed.wait(_SHORTEST):
                self._woken.wait(self._interval - _SHORTEST)
