"""Who is called when something happens to a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from adaptive_scheduler.protocol import messages

Listener: TypeAlias = Callable[[], None]


class Listeners:
    """Functions that are called on the event loop."""

    def __init__(self) -> None:
        self._on_change: list[Listener] = []
        self._on_hurry: list[Listener] = []
        self._on_cancel: list[Listener] = []
        self._on_command: Callable[[messages.CommandRequest], messages.CommandResult] | None = None

    def add(
        self,
        *,
        on_change: Listener | None = None,
        on_hurry: Listener | None = None,
        on_cancel: Listener | None = None,
        on_command: Callable[[messages.CommandRequest], messages.CommandResult] | None = None,
    ) -> None:
        """Have functions called from now on.

        Parameters
        ----------
        on_change
            Called after each change.
        on_hurry
            Called when a job seems to have ended.
        on_cancel
            Called when somebody outside of this process wants the run to end.
        on_command
            Steers the run as somebody outside of this process wants; there can be one.
        """
        self._on_change += [on_change] if on_change else []
        self._on_hurry += [on_hurry] if on_hurry else []
        self._on_cancel += [on_cancel] if on_cancel else []
        self._on_command = on_command or self._on_command

    def change(self) -> None:
        """Tell that something has changed."""
        for listener in self._on_change:
            listener()

    def hurry(self) -> None:
        """Tell that a job seems to have ended."""
        for listener in self._on_hurry:
            listener()

    def cancel(self) -> None:
        """Tell that somebody outside of this process wants the run to end."""
        for listener in self._on_cancel:
            listener()

    def answer_command(self, command: messages.CommandRequest) -> messages.CommandResult:
        """Have a command done, and return what became of it."""
        if self._on_command is None:
            return messages.CommandResult(
                "There is no run manager that could do it.", is_refused=True
            )
        return self._on_command(command)
