"""The executor of forked processes, each with a pipe of its own.

So it is known which process evaluates what. `loky` uses the same pool with
processes that start from scratch.
"""

from __future__ import annotations

import abc
import asyncio
import multiprocessing
import os
import pickle
import signal
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedRWPair
from typing import Any, Protocol

from adaptive_scheduler.executors.base import FunctionExecutor, Workers, settle
from adaptive_scheduler.executors.worker import (
    FunctionError,
    Preparation,
    WorkerError,
    evaluate,
    portable,
    start_worker,
)

#: What comes before each message: how many bytes it has.
_LENGTH = struct.Struct("!Q")
#: Bytes that are read at once.
_CHUNK = 1 << 18
#: Seconds that a process which was killed gets to be gone.
_PATIENCE = 5.0
#: A point at which this many workers died is given up.
_MAX_DEATHS = 3


class Owner(Protocol):
    """Who hears of a process."""

    def answered(self, process: PoolProcess, answer: bytes) -> None:
        """Take what a process has answered."""

    def died(self, process: PoolProcess) -> None:
        """Hear that a process is gone."""


class PoolProcess:
    """A process that answers one message after another.

    It belongs to the thread of the event loop that runs where it is made, and
    blocks that nowhere.

    Parameters
    ----------
    context
        How processes are started.
    owner
        Who hears of it; may change.
    function, initializer
        What it is started for; it may be prepared for others later.
    inherited
        Sockets that a forked process has, too, and must not hold open.
    """

    def __init__(
        self,
        context: Any,
        owner: Owner,
        function: Callable[[Any], Any] | None = None,
        initializer: Callable[[], None] | None = None,
        inherited: Iterable[socket.socket] = (),
    ) -> None:
        self.owner = owner
        self.channel, theirs = socket.socketpair()
        others = (*inherited, self.channel) if context.get_start_method() == "fork" else ()
        self._process = context.Process(target=serve, args=(theirs, function, initializer, others))
        with theirs:
            self._process.start()
        self.channel.setblocking(False)  # noqa: FBT003  it takes no names
        self._incoming = bytearray()
        self._outgoing: deque[memoryview] = deque()
        self._is_gone = False
        self._loop = asyncio.get_running_loop()
        self._descriptor = _watch(self._process.pid)
        self._sign = self._process.sentinel if self._descriptor is None else self._descriptor
        self._loop.add_reader(self.channel, self._read)
        # A program that the function has started may hold the pipe open.
        self._loop.add_reader(self._sign, self._end)

    def send(self, message: bytes) -> None:
        """Send a message, now or as soon as there is room in the pipe."""
        self._outgoing.append(memoryview(_LENGTH.pack(len(message)) + message[:_CHUNK]))
        if len(message) > _CHUNK:
            self._outgoing.append(memoryview(message)[_CHUNK:])
        self._write()

    def kill(self) -> None:
        """End the process, and the programs that it has started."""
        if self._is_gone:
            return
        self._is_gone = True
        self._loop.remove_reader(self.channel)
        self._loop.remove_writer(self.channel)
        self._loop.remove_reader(self._sign)
        with suppress(ProcessLookupError):
            if self._descriptor is None:
                os.kill(self._process.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.join(_PATIENCE)
        self.channel.close()
        if self._descriptor is not None:
            os.close(self._descriptor)

    def _write(self) -> None:
        while self._outgoing:
            try:
                n_sent = self.channel.send(self._outgoing[0])
            except BlockingIOError:
                self._loop.add_writer(self.channel, self._write)
                return
            except OSError:  # it has died: that is noticed elsewhere
                self._outgoing.clear()
                break
            self._outgoing[0] = self._outgoing[0][n_sent:]
            if not self._outgoing[0]:
                self._outgoing.popleft()
        self._loop.remove_writer(self.channel)

    def _read(self) -> bool:
        """Take in what there is; return whether there may be more."""
        try:
            data = self.channel.recv(_CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # it died before it had read all
            data = b""
        if not data:
            self._die()
            return False
        self._incoming += data
        while not self._is_gone and (answer := self._next_answer()) is not None:
            self.owner.answered(self, answer)
        return not self._is_gone

    def _next_answer(self) -> bytes | None:
        if len(self._incoming) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._incoming)
        end = _LENGTH.size + length
        if len(self._incoming) < end:
            return None
        answer = bytes(memoryview(self._incoming)[_LENGTH.size : end])
        del self._incoming[:end]
        return answer

    def _end(self) -> None:
        """Read what the process has left behind."""
        while self._read():
            pass
        self._die()

    def _die(self) -> None:
        if not self._is_gone:
            self.kill()
            self.owner.died(self)


def _watch(pid: int) -> int | None:
    """Return a descriptor that becomes readable when a process ends; None on old kernels."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


# What the process itself does.


def serve(
    channel: socket.socket,
    function: Callable[[Any], Any] | None,
    initializer: Callable[[], None] | None,
    inherited: Iterable[socket.socket],
) -> None:
    """Answer messages until there is nobody who sends any."""
    for each in inherited:
        each.close()
    with suppress(PermissionError):  # it leads a session
        os.setpgid(0, 0)  # programs that the function starts end with this process
    start_worker(function, initializer)
    with channel, channel.makefile("rwb") as stream:
        while (message := _read_message(stream)) is not None:
            answer = _answer(message)
            if answer is not None:
                stream.write(_LENGTH.pack(len(answer)))
                stream.write(answer)
                stream.flush()


def _read_message(stream: BufferedRWPair) -> bytes | None:
    head = stream.read(_LENGTH.size)
    return stream.read(*_LENGTH.unpack(head)) if len(head) == _LENGTH.size else None


def _answer(message: bytes) -> bytes | None:
    outcome: tuple[bool, Any]
    point: Any = None
    try:
        point = pickle.loads(message)
        if isinstance(point, Preparation):
            point.apply()
            return None
        outcome = True, evaluate(point)
        return pickle.dumps(outcome, pickle.HIGHEST_PROTOCOL)
    except (FunctionError, WorkerError) as error:
        outcome = False, error
    except Exception as error:  # noqa: BLE001  a point or result that can't travel
        outcome = False, FunctionError.of(error, point)
    return pickle.dumps(outcome, pickle.HIGHEST_PROTOCOL)


@dataclass
class _Task:
    """An evaluation."""

    future: Future[Any]
    x: Any
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

    @abc.abstractmethod
    def _acquire(self) -> PoolProcess:
        """Return a process that has the function."""

    def _evaluate(self, future: Future[Any], x: Any) -> None:
        self._waiting.append(_Task(future, x))
        self._go_on()

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
            process = self._idle.pop() if self._idle else self._acquire()
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
        settle(task.future, value if is_result else None, None if is_result else value)

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
                settle(task.future, error=WorkerError(why))
        self._go_on()

    def close(self) -> None:
        """End the workers, whatever they are doing."""
        super().close()
        busy, self._busy = self._busy, {}
        idle, self._idle = self._idle, []
        for task in (*busy.values(), *self._waiting):
            task.future.cancel()
        self._waiting.clear()
        for process in busy:
            process.kill()
        self._release(idle)

    def _release(self, idle: list[PoolProcess]) -> None:
        """Part with processes that do nothing."""
        for process in idle:
            process.kill()


class ProcessPool(Pool):
    """Forked processes, which share with the job what is in memory already.

    The function is not even pickled: a closure over a large array costs
    nothing to send and is not held twice.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        n_workers: int,
        initializer: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(function, n_workers)
        self._initializer = initializer

    def _acquire(self) -> PoolProcess:
        return PoolProcess(
            multiprocessing.get_context("fork"),
            self,
            self.function,
            self._initializer,
            inherited=[process.channel for process in (*self._busy, *self._idle)],
        )


class ProcessPoolWorkers(Workers):
    """Processes that end with their learner: a fork has the function that there is by then."""

    def serve(
        self, function: Callable[[Any], Any], initializer: Callable[[], None] | None = None
    ) -> ProcessPool:
        """Return an executor for the next learner."""
        return ProcessPool(function, self.n_workers, initializer)
