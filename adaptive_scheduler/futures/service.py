"""Gathers calls, makes runs of them, and brings back their outcomes, in a thread of its own."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from types import FunctionType
from typing import Any

from adaptive_scheduler._common.by_value import SourceFiles
from adaptive_scheduler.futures.run import CallRun, PackedCall
from adaptive_scheduler.learners.pickling import dumps

#: Seconds without a further submission after which calls become a run.
_GATHERING = 0.5
#: Seconds for which calls wait for further ones at most.
_LONGEST_GATHERING = 10.0
#: Seconds between two looks at what jobs have saved.
_INTERVAL = 0.2


class CallService:
    """Serves the tasks of an executor, as long as there are any.

    Parameters
    ----------
    name
        Of the thread.
    run_of
        Makes a run of calls, by the task that waits for each.
    """

    def __init__(
        self, name: str, run_of: Callable[[dict[Future[Any], PackedCall]], CallRun]
    ) -> None:
        self._name = name
        self._run_of = run_of
        self._changed = threading.Condition()
        self._starting = threading.Lock()
        self._gathered: dict[Future[Any], PackedCall] = {}
        self._due = self._latest = math.inf
        self._call_runs: list[CallRun] = []
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._pickled: dict[int, tuple[Callable[..., Any], bytes, SourceFiles]] = {}

    def add(
        self,
        task: Future[Any],
        fn: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> None:
        """Pickle a call, and let it wait for further ones.

        Raises
        ------
        UnpicklableError
            If it can't travel to a job.
        RuntimeError
            After `close`.
        """
        with self._changed:
            if self._is_closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            function, files = self._pickled_function(fn)
            files = SourceFiles(files.names)
            arguments = dumps({"args": args, "kwargs": kwargs}, f"A call of {_name_of(fn)}", files)
            call = PackedCall(function, arguments, files)
            now = time.monotonic()
            if not self._gathered:
                self._latest = now + _LONGEST_GATHERING
                self._changed.notify_all()
            self._gathered[task] = call
            self._due = min(now + _GATHERING, self._latest)
            self._ensure_thread()

    def hurry(self) -> None:
        """Let what was gathered wait for no further calls."""
        with self._changed:
            if self._gathered:
                self._due = -math.inf
                self._changed.notify_all()

    def forget(self, task: Future[Any]) -> None:
        """Take note that a task was cancelled."""
        with self._changed:
            was_open = self._gathered.pop(task, None) is not None
            was_open = was_open or any(each.forget(task) for each in self._call_runs)
            self._changed.notify_all()
        if was_open:
            task.set_running_or_notify_cancel()

    def open_tasks(self) -> list[Future[Any]]:
        """Return the tasks that wait."""
        with self._changed:
            in_runs = [task for call_run in self._call_runs for task in call_run.tasks()]
            return [*self._gathered, *in_runs]

    def close(self) -> None:
        """Take no further calls."""
        with self._changed:
            self._is_closed = True

    def join(self) -> None:
        """Wait until nothing is open."""
        with self._changed:
            thread = self._thread
        if thread is not None:
            thread.join()

    def make_run(self) -> CallRun | None:
        """Make a run of what was gathered, but don't start it; None if that is nothing.

        Raises
        ------
        AdaptiveSchedulerError
            If it can't be made. The tasks raise the same.
        """
        with self._starting:
            with self._changed:
                calls, self._gathered = self._gathered, {}
                self._pickled.clear()
                self._due = math.inf
            if not calls:
                return None
            try:
                call_run = self._run_of(calls)
            except BaseException as error:  # Ctrl-C as well: nobody may wait for ever
                for task in calls:
                    if task.set_running_or_notify_cancel():
                        task.set_exception(error)
                raise
            with self._changed:
                self._call_runs.append(call_run)
                self._ensure_thread()
            return call_run

    # The thread.

    def _ensure_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        """Start and deliver until nothing is open."""
        while True:
            with self._changed:
                if not self._gathered and not self._call_runs:
                    self._thread = None
                    return
                pause = _INTERVAL if self._call_runs else math.inf
                if self._gathered:
                    pause = min(pause, self._due - time.monotonic())
                if pause > 0:
                    self._changed.wait(pause)
                is_due = bool(self._gathered) and time.monotonic() >= self._due
            if is_due:
                self._begin()
            for call_run in list(self._call_runs):
                self._deliver(call_run)

    def _begin(self) -> None:
        with contextlib.suppress(Exception):  # whatever it is, the tasks raise it
            call_run = self.make_run()
            if call_run is not None:
                call_run.start()

    def _deliver(self, call_run: CallRun) -> None:
        try:
            call_run.deliver()
        except Exception as error:  # noqa: BLE001  nobody may wait for ever
            call_run.fail(error)
        if call_run.is_over:
            with self._changed:
                self._call_runs.remove(call_run)

    def _pickled_function(self, fn: Callable[..., Any]) -> tuple[bytes, SourceFiles]:
        """Pickle a function, once for all calls that are gathered."""
        known = self._pickled.get(id(fn))
        if known is None:
            files = SourceFiles()
            known = (fn, dumps({_name_of(fn): fn}, f"The function {_name_of(fn)}", files), files)
            if isinstance(fn, FunctionType):  # other things may change between two calls
                self._pickled[id(fn)] = known
        return known[1:]


def _name_of(fn: Callable[..., Any]) -> str:
    return str(getattr(fn, "__qualname__", None) or repr(fn))
