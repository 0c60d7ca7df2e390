"""A pool of processes, each with a pipe of its own: it is known who evaluates what."""

from __future__ import annotations

import abc
import pickle
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from adaptive_scheduler.executors.base import FunctionExecutor
from adaptive_scheduler.executors.pool_process import PoolProcess
from adaptive_scheduler.executors.worker import WorkerError, portable

#: A point at which this many workers died is given up.
_MAX_DEATHS = 3


@dataclass
class _Task:
    """An evaluation."""

    x: Any
    future: Future[Any] = field(default_factory=Future)
    #: How many workers died of it.
    n_deaths: int = 0


class Pool(FunctionExecutor, abc.ABC):
    """Processes that are started when there is a point for them, and again when they die.

    The point at which one died is evaluated again by another; those of the
    others are not concerned.
    """

    def __init__(self, function: Callable[[Any], Any], n_workers: int) -> None:
        super().__init__(function, n_workers)
        self._waiting: deque[_Task] = deque()
        self._busy: dict[PoolProcess, _Task] = {}
        self._idle: list[PoolProcess] = []
        self._is_closed = False

    @abc.abstractmethod
    def _hire(self) -> PoolProcess:
        """Return a process that has the function."""

    def _submit(self, x: Any) -> Future[Any]:
        task = _Task(x)
        if self._is_closed:
            task.future.cancel()
        else:
            self._waiting.append(task)
            self._go_on()
        return task.future

    def _go_on(self) -> None:
        """Give points to those who have none."""
        while self._waiting and (self._idle or len(self._busy) < self.n_workers):
            task = self._waiting.popleft()
            if task.future.cancelled():
                continue
            try:
                message = pickle.dumps(portable(task.x), pickle.HIGHEST_PROTOCOL)
            except Exception as error:  # noqa: BLE001  pickling runs the user's code
                task.future.set_exception(error)
                continue
            process = self._idle.pop() if self._idle else self._hire()
            self._busy[process] = task
            process.send(message)

    def answered(self, process: PoolProcess, answer: bytes) -> None:
        """Take a result, or what was raised."""
        task = self._busy.pop(process)
        self._idle.append(process)
        self._go_on()
        try:
            is_result, value = pickle.loads(answer)
        except Exception as error:  # noqa: BLE001  unpickling runs the user's code
            is_result, value = False, WorkerError(f"The result at {task.x!r:.200}: {error!r}.")
        _settle(task, value if is_result else None, None if is_result else value)

    def died(self, process: PoolProcess) -> None:
        """Have another process evaluate what this one did when it died."""
        if process in self._idle:
            self._idle.remove(process)
        if (task := self._busy.pop(process, None)) is not None:
            task.n_deaths += 1
            if task.n_deaths < _MAX_DEATHS:
                self._waiting.appendleft(task)
            else:
                why = (
                    f"{_MAX_DEATHS} workers died, one after another, while they evaluated the "
                    f"function at {task.x!r}: out of memory, perhaps, or a crash in compiled code."
                )
                _settle(task, error=WorkerError(why))
        self._go_on()

    def close(self) -> None:
        """End the workers, whatever they are doing."""
        self._is_closed = True
        busy, self._busy = self._busy, {}
        idle, self._idle = self._idle, []
        for task in (*busy.values(), *self._waiting):
            task.future.cancel()
        self._waiting.clear()
        for process in busy:
            process.kill()
        self._dismiss(idle)

    def _dismiss(self, idle: list[PoolProcess]) -> None:
        """Part with processes that do nothing."""
        for process in idle:
            process.kill()


def _settle(task: _Task, result: Any = None, error: BaseException | None = None) -> None:
    if not task.future.set_running_or_notify_cancel():
        return
    if error is None:
        task.future.set_result(result)
    else:
        task.future.set_exception(error)
