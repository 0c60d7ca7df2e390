"""What runs in the worker processes of every executor.

A worker serves one learner's function. It arrives once, when the worker
starts, and not with each point.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from adaptive_scheduler._common.by_value import SourceFiles, dumps
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.executors.parent_death import end_with

#: Signals by which schedulers tell all processes of a job that its end is near.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
#: Types that the standard pickle always takes, and takes fastest.
_PLAIN = frozenset({float, int, complex, bool, str, bytes, type(None)})


class WorkerError(AdaptiveSchedulerError):
    """A worker died, or could not be prepared."""


class FunctionError(AdaptiveSchedulerError):
    """The user's function raised an exception.

    It travels in words: the class of the exception may be known to the worker only.

    Parameters
    ----------
    summary
        Class and message of the exception, and where it was raised.
    traceback_text
        The traceback, from the function on.
    """

    def __init__(self, summary: str, traceback_text: str) -> None:
        super().__init__(summary, traceback_text)
        self.summary = summary
        self.traceback_text = traceback_text

    def __str__(self) -> str:
        return self.summary

    @classmethod
    def of(cls, error: BaseException, x: Any) -> FunctionError:
        """Describe what the function raised at point `x`, caught where it was called."""
        summary = traceback.format_exception_only(error)[-1].strip()
        frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
        text = "".join(traceback.format_exception(type(error), error, frames))
        return cls(f"{summary}, raised at {x!r:.200}", text)


class ByValue:
    """Carries a value between processes, whatever it is made of.

    Classes and functions of the user's script exist by value only: the
    standard pickle, which names them, can't find them in another process.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        return pickle.loads, (dumps(self.value),)


def portable(value: Any) -> Any:
    """Return `value` in a form that any pickler takes; it arrives as itself."""
    return value if _is_plain(value) else ByValue(value)


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind is tuple:
        return all(map(_is_plain, value))
    # Numbers and arrays of numpy, unless these hold objects.
    dtype = getattr(value, "dtype", None) if kind.__module__ == "numpy" else None
    return dtype is not None and not dtype.hasobject


class _Worker:
    """The function that this process serves."""

    function: Callable[[Any], Any] | None = None
    #: What the user's initializer raised.
    error: str = ""
    #: The folder in which this process was started.
    folder: str = ""
    #: What stays open as long as this process lives.
    held: object = None
    #: Whether the kernel was told to end this process with its parent.
    dies_with_parent = False
    #: How many evaluations run now.
    n_running = 0
    #: Whether what this process forks heeds signals again.
    forks_restore_signals = False


def start_worker(
    function: Callable[[Any], Any] | bytes | None,
    initializer: Callable[[], None] | bytes | None,
    sys_path: Sequence[str] = (),
) -> None:
    """Prepare this process: it lives as long as its job, and leaves signals to it.

    Function and initializer may be pickled, for processes that are not forked;
    those that don't inherit the path of modules are given it. A process may
    be prepared again, for another function.
    """
    _leave_signals_to_job()
    if not _Worker.dies_with_parent:
        _Worker.dies_with_parent = True
        _die_with_parent()
    sys.path.extend(folder for folder in sys_path if folder not in sys.path)
    _return_to_start()
    _Worker.error = ""
    try:
        _Worker.function = _unpickled(function)
        if (prepare := _unpickled(initializer)) is not None:
            prepare()
    except BaseException:  # noqa: BLE001  the user's own, passed on with the first point
        _Worker.error = traceback.format_exc()


def _return_to_start() -> None:
    """Undo what the last function did to the working directory."""
    with contextlib.suppress(OSError):  # it may be gone, and functions may read nothing there
        if _Worker.folder:
            os.chdir(_Worker.folder)
        else:
            _Worker.folder = str(Path.cwd())


class Preparation(NamedTuple):
    """All that a worker needs once, in a form that any pickler takes."""

    function: bytes
    initializer: bytes
    sys_path: list[str]
    #: Where the user's functions were defined.
    files: SourceFiles

    @classmethod
    def of(
        cls, function: Callable[[Any], Any], initializer: Callable[[], None] | None
    ) -> Preparation:
        """Return what a worker needs for a function."""
        files = SourceFiles()
        return cls(files.dumps(function), files.dumps(initializer), list(sys.path), files)

    def apply(self) -> None:
        """Prepare the process that this runs in."""
        start_worker(self.function, self.initializer, self.sys_path)


def hold(take: Callable[[], object]) -> None:
    """Keep what `take` returns as long as this process lives, unless it keeps something."""
    if _Worker.held is None:
        _Worker.held = take()


def is_evaluating() -> bool:
    """Return whether an evaluation runs in this process."""
    return _Worker.n_running > 0


def evaluate(x: Any) -> Any:
    """Evaluate this worker's function at one point."""
    if _Worker.error or _Worker.function is None:
        raise WorkerError(f"A worker could not be prepared:\n{_Worker.error}")
    _Worker.n_running += 1
    try:
        return portable(_Worker.function(x))
    except BaseException as error:  # noqa: BLE001  the user's own, passed on, sys.exit() as well
        failure = FunctionError.of(error, x)
    finally:
        _Worker.n_running -= 1
    # Not in the handler: packages such as tblib have pickle take along what an exception is from.
    raise failure


def _unpickled(value: Any) -> Any:
    return pickle.loads(value) if isinstance(value, bytes) else value


def _leave_signals_to_job() -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # the program that has this thread heeds signals in its own way
    for number in _SIGNALS:
        # Not SIG_IGN: programs that the function starts would inherit that.
        signal.signal(number, _do_nothing)
        signal.siginterrupt(number, False)  # noqa: FBT003  it takes no names
    signal.set_wakeup_fd(-1)  # a forked worker shares that of the job's event loop
    if not _Worker.forks_restore_signals:
        _Worker.forks_restore_signals = True
        # A signal that meets a process at its birth waits until it is heeded.
        os.register_at_fork(before=_block_signals, after_in_child=_restore_signals)
        os.register_at_fork(after_in_child=_unblock_signals, after_in_parent=_unblock_signals)


def _do_nothing(number: int, frame: object) -> None:
    """Outlive a signal."""


def _block_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def _unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _restore_signals() -> None:
    for number in _SIGNALS:
        if signal.getsignal(number) is _do_nothing:
            signal.signal(number, signal.SIG_DFL)


def _die_with_parent() -> None:
    """Have this process end when its parent dies, and also when its job does."""
    parent = os.getppid()
    end_with(parent)
    job = multiprocessing.parent_process()
    if job is not None and job.pid != parent:  # a fork server, which lives as long as we do
        threading.Thread(target=_die_with, args=(job,), daemon=True).start()


def _die_with(job: BaseProcess) -> None:
    job.join()
    os.kill(os.getpid(), signal.SIGKILL)
