"""What `RunManager.wait` shows: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from adaptive_scheduler.server_support.info import RunInfo, as_line, as_text
from adaptive_scheduler.server_support.terminal import Picture

if TYPE_CHECKING:
    from typing import Self

#: Seconds between two updates of the live view.
_REFRESH = 0.5
#: Seconds between two plain lines that say nothing new but the time.
_QUIET_LINE = 30.0


def watch(
    get_info: Callable[[], RunInfo], wait: Callable[[float], bool], timeout: float | None
) -> bool:
    """Show a run until it is over.

    Parameters
    ----------
    get_info
        Returns how the run is.
    wait
        Waits for some seconds, and returns whether the run is over.
    timeout
        Seconds after which to return anyway.

    Returns
    -------
    bool
        Whether the run is over.
    """
    from rich.console import Console

    deadline = None if timeout is None else time.monotonic() + timeout
    show = _Terminal if Console(stderr=True).is_terminal else _Lines
    with show() as view:
        while True:
            left = _REFRESH if deadline is None else min(_REFRESH, deadline - time.monotonic())
            is_over = wait(max(left, 0.0))
            view.update(get_info(), is_over=is_over)
            if is_over or (deadline is not None and time.monotonic() >= deadline):
                return is_over


class _Lines:
    """Prints a line when something has changed, and now and then."""

    def __init__(self) -> None:
        self._shown: tuple[object, ...] = ()
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, info: RunInfo, *, is_over: bool) -> None:
        now = time.monotonic()
        news = (info.status, info.n_done, info.n_failed, info.trouble, len(info.failures))
        if news != self._shown or now >= self._next:
            text = as_text(info) if is_over or news[3:] != self._shown[3:] else as_line(info)
            print(text, file=sys.stderr, flush=True)  # noqa: T201  this is what it is for
            self._shown, self._next = news, now + _QUIET_LINE


class _Terminal:
    """Draws a bar and the figures below it, again and again in the same place."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def update(self, info: RunInfo, *, is_over: bool) -> None:
        del is_over  # the last picture stays
        self._live.update(Picture(info))
