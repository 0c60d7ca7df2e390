"""Measure where an object spends its time."""

from __future__ import annotations

import functools
import inspect
import time
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["add_timing_to_object"]

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
