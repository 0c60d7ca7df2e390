"""What users need around a run: names, splitting, loading, dataframes, caches.

Most live in the module of their subject. None of these modules loads `adaptive` or
pandas before it needs them.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
import traceback
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from adaptive_scheduler._common.atomic import atomic_write
from adaptive_scheduler._common.progress import bars
from adaptive_scheduler._common.revalidate import revalidate
from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.executors.ipyparallel import connect_to_ipyparallel
from adaptive_scheduler.executors.kinds import EXECUTOR_TYPES, LOKY_START_METHODS
from adaptive_scheduler.learners.caching import LRUCachedCallable, shared_memory_cache
from adaptive_scheduler.learners.dataframes import (
    _DATAFRAME_FORMATS,  # noqa: F401  users of 2.x import it from here
    expand_dict_columns,
    fname_to_dataframe,
    load_dataframes,
    save_dataframe,
)
from adaptive_scheduler.learners.goals import GoalTypes, smart_goal
from adaptive_scheduler.learners.learner_files import (
    cloudpickle_learners,
    fname_to_learner,
    fname_to_learner_fname,
)
from adaptive_scheduler.learners.paths import (
    FnamesTypes,
    add_constant_to_fname,
    combo2fname,
    combo_to_fname,
    hash_anything,
    maybe_round,
    round_sigfigs,
)
from adaptive_scheduler.learners.splitting import (
    combine_sequence_learners,
    copy_from_sequence_learner,
    shuffle_list,
    split,
    split_in_balancing_learners,
    split_sequence_in_sequence_learners,
    split_sequence_learner,
)
from adaptive_scheduler.learners.storage import load_parallel, save_parallel
from adaptive_scheduler.learners.wrapped import WrappedFunction

__all__ = [
    "EXECUTOR_TYPES",
    "LOKY_START_METHODS",
    "FnamesTypes",
    "GoalTypes",
    "LRUCachedCallable",
    "WrappedFunction",
    "add_constant_to_fname",
    "add_timing_to_object",
    "atomic_write",
    "cloudpickle_learners",
    "combine_sequence_learners",
    "combo2fname",
    "combo_to_fname",
    "connect_to_ipyparallel",
    "copy_from_sequence_learner",
    "expand_dict_columns",
    "fname_to_dataframe",
    "fname_to_learner",
    "fname_to_learner_fname",
    "hash_anything",
    "load_dataframes",
    "load_parallel",
    "log_exception",
    "maybe_round",
    "round_sigfigs",
    "save_dataframe",
    "save_parallel",
    "shared_memory_cache",
    "shuffle_list",
    "sleep_unless_task_is_done",
    "smart_goal",
    "split",
    "split_in_balancing_learners",
    "split_sequence_in_sequence_learners",
    "split_sequence_learner",
    "track_file_creation_progress",
]


#: All files of a tuple count as one.
_Files: TypeAlias = Path | tuple[Path, ...]

#: Magic methods that make objects and find attributes: the measuring itself needs them.
_MACHINERY = frozenset(
    {"__init__", "__getattribute__", "__getattr__", "__setattr__", "__delattr__", "__del__"}
)

#: What an attribute is if it is a method. Other callables may be more than that.
_METHOD_TYPES = (
    types.BuiltinFunctionType,
    types.FunctionType,
    types.MethodDescriptorType,
    types.MethodType,
    classmethod,
    functools.partialmethod,
    staticmethod,
)


def __dir__() -> list[str]:
    return __all__


def log_exception(log: Any, msg: str, exception: BaseException) -> None:
    """Log an exception with its traceback, now or long after it was caught.

    Parameters
    ----------
    log
        A logger of the standard library or of structlog, or anything that has
        a method ``exception`` or ``error`` that takes a message.
    msg
        What could not be done.
    exception
        Why.
    """
    if not hasattr(log, "exception"):
        log.error(f"{msg}\n{''.join(traceback.format_exception(exception))}".rstrip())
        return
    original_traceback = exception.__traceback__
    try:
        # Loggers look for the exception that is being handled.
        raise exception  # noqa: TRY301
    except BaseException:  # the one that was just raised
        exception.__traceback__ = original_traceback  # Without the line above.
        log.exception(msg)


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


def track_file_creation_progress(
    paths_dict: Mapping[str, Iterable[_Files]], interval: float = 1
) -> asyncio.Task[None]:
    """Show a progress bar for each group of files, until all files are there.

    Call it in a notebook's cell, or wherever an event loop runs.

    Parameters
    ----------
    paths_dict
        For each group, which has a name, the files. A tuple of files counts
        as one that is there when all of them are.
    interval
        How often to look, in seconds.

    Returns
    -------
    asyncio.Task
        Ends when all files are there. Cancel it to stop looking.

    Raises
    ------
    RuntimeError
        No event loop runs.
    """
    groups = {name: [_as_paths(files) for files in group] for name, group in paths_dict.items()}
    loop = asyncio.get_running_loop()
    return loop.create_task(_track(groups, interval), name="track_file_creation_progress")


async def _track(groups: dict[str, list[set[Path]]], interval: float) -> None:
    with bars() as shown:
        total = sum(len(group) for group in groups.values())
        total_bar = shown.add("Total", total) if len(groups) > 1 else None
        numbers = {name: shown.add(name, len(group)) for name, group in groups.items()}
        missing = groups
        while True:
            # In a thread, because a network file system may take its time.
            missing = await asyncio.to_thread(_still_missing, missing)
            for name, group in groups.items():
                shown.update(numbers[name], len(group) - len(missing[name]))
            n_missing = sum(len(group) for group in missing.values())
            if total_bar is not None:
                shown.update(total_bar, total - n_missing)
            if not n_missing:
                return
            await asyncio.sleep(interval)


def _still_missing(groups: dict[str, list[set[Path]]]) -> dict[str, list[set[Path]]]:
    """Return the groups without what has been seen; it counts, even if it goes away again."""
    for folder in {path.parent for group in groups.values() for files in group for path in files}:
        revalidate(folder)
    missing = {}
    for name, group in groups.items():
        looked = [{path for path in files if not path.exists()} for files in group]
        missing[name] = [files for files in looked if files]
    return missing


def _as_paths(files: _Files | str) -> set[Path]:
    return set(files) if isinstance(files, tuple) else {Path(files)}


def add_timing_to_object(
    obj: Any,
    timing_dict: dict[str, list[float]] | None = None,
    *,
    include_private: bool = True,
    include_magic: bool = False,
    print_times: bool = True,
    print_cutoff: float = 0.01,
) -> dict[str, list[float]]:
    """Measure from now on how long each call of an object's methods takes.

    Only this object is changed, not its class; it can't be pickled any more.
    Coroutines are measured from their first step to their end.

    Parameters
    ----------
    obj
        The object.
    timing_dict
        Where to add the times; by default a new dictionary.
    include_private
        Also measure methods whose names begin with an underscore.
    include_magic
        Also measure magic methods that the object's class defines, such as
        ``__len__``. For that the object gets a class of its own.
    print_times
        Print each call that takes long.
    print_cutoff
        How long that is, in seconds.

    Returns
    -------
    dict
        `timing_dict`: for each method that was called, under
        ``"ClassName.method"``, how long its calls took, in seconds.

    Raises
    ------
    InvalidInputError
        The object takes no new attributes, or no other class.
    """
    times = {} if timing_dict is None else timing_dict
    stopwatch = _Stopwatch(type(obj).__name__, times, print_cutoff if print_times else None)
    try:
        for name in _method_names(obj, include_private=include_private):
            setattr(obj, name, stopwatch.measured(name, getattr(obj, name)))
        if include_magic:
            _give_measured_class(obj, stopwatch)
    except (AttributeError, TypeError) as error:
        raise InvalidInputError(
            f"The methods of this {type(obj).__name__} can't be measured, because it can't be "
            f"changed ({error}). Measure an object that holds it instead."
        ) from error
    return times


class _Stopwatch:
    def __init__(
        self, class_name: str, times: dict[str, list[float]], print_cutoff: float | None
    ) -> None:
        self._class_name = class_name
        self._times = times
        self._print_cutoff = print_cutoff

    def measured(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does what `method` does, and is measured."""
        if inspect.iscoroutinefunction(method):

            @functools.wraps(method)
            async def measured_coroutine(*args: Any, **kwargs: Any) -> Any:
                with self._measuring(name):
                    return await method(*args, **kwargs)

            return measured_coroutine

        @functools.wraps(method)
        def measured(*args: Any, **kwargs: Any) -> Any:
            with self._measuring(name):
                return method(*args, **kwargs)

        return measured

    @contextmanager
    def _measuring(self, name: str) -> Iterator[None]:
        label = f"{self._class_name}.{name}"
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            self._times.setdefault(label, []).append(seconds)
            if self._print_cutoff is not None and seconds >= self._print_cutoff:
                self._print(label, seconds)

    @staticmethod
    def _print(label: str, seconds: float) -> None:
        from rich import get_console

        get_console().print(f"{label} took {seconds:.6f} s", highlight=False, markup=False)


def _method_names(obj: Any, *, include_private: bool) -> list[str]:
    """List the methods, without asking properties for their values."""
    names = [n for n in dir(obj) if not _is_magic(n) and (include_private or n[0] != "_")]
    return [n for n in names if isinstance(inspect.getattr_static(obj, n), _METHOD_TYPES)]


def _give_measured_class(obj: Any, stopwatch: _Stopwatch) -> None:
    """Python looks magic methods up in the class, so that is where they have to be measured."""
    cls = type(obj)
    methods = {
        name: stopwatch.measured(name, method)
        for name, method in inspect.getmembers_static(cls, inspect.isfunction)
        if _is_magic(name) and name not in _MACHINERY
    }
    obj.__class__ = type(cls.__name__, (cls,), {**methods, "__module__": cls.__module__})


def _is_magic(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")
