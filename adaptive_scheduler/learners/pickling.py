"""Pickling what travels to the jobs, and saying what is to blame if that fails."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from adaptive_scheduler._common import by_value
from adaptive_scheduler.errors import UnpicklableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from adaptive_scheduler._common.by_value import SourceFiles

#: How deep to look for what can't be pickled, and how much of a container.
_MAX_DEPTH = 12
_MAX_ELEMENTS = 1_000


def dumps(parts: dict[str, Any], whole: str, files: SourceFiles | None = None) -> bytes:
    """Pickle a tuple, by value where it can't be imported elsewhere.

    Parameters
    ----------
    parts
        Anything, also functions and classes of ``__main__`` and notebooks,
        with names that stand for them in the error.
    whole
        What the user calls all of it.
    files
        Collects the files that functions were defined in. If not given, their
        source lines go into the bytes.

    Raises
    ------
    UnpicklableError
        It names the attribute or variable that can't be pickled.
    """
    pickled = by_value.dumps if files is None else files.dumps
    try:
        return pickled(tuple(parts.values()))
    except MemoryError:
        raise
    except Exception as error:  # pickling runs the user's code
        path, culprit, reason = _find_culprit(parts, error)
        raise UnpicklableError(
            f"{whole} can't be sent to the jobs: {path} is a {type(culprit).__name__} that can't "
            f"be pickled ({type(reason).__name__}: {reason}). Make it inside the function or in "
            "an initializer instead, or pass what it can be made from, such as a file name."
        ) from error


def _find_culprit(parts: dict[str, Any], error: Exception) -> tuple[str, Any, Exception]:
    """Go down to the innermost part that can't be pickled."""
    name, value = next(iter(parts.items()))
    seen = set()
    candidates: Iterable[tuple[str, Any]] = parts.items()
    for _ in range(_MAX_DEPTH):
        for part_name, part in candidates:
            if id(part) in seen:
                continue
            seen.add(id(part))
            part_error = _pickling_error(part)
            if part_error is not None:
                name, value, error = part_name, part, part_error
                candidates = _parts(part, part_name)
                break
        else:
            break
    return name, value, error


def _pickling_error(value: Any) -> Exception | None:
    import cloudpickle

    try:
        cloudpickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001  whatever a user's class raises
        return error
    return None


def _parts(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """List what is pickled along with `value`, and what it would be called in code."""
    if isinstance(value, MethodType):
        yield f"{name}.__self__", value.__self__
        value = value.__func__
    if isinstance(value, partial):
        yield f"{name}.func", value.func
        yield from ((f"{name}.args[{i}]", part) for i, part in enumerate(value.args))
        yield from ((f"{name}.keywords[{key!r}]", part) for key, part in value.keywords.items())
    elif isinstance(value, FunctionType):
        yield from _parts_of_function(value, name)
    elif isinstance(value, Mapping):
        for key, part in list(value.items())[:_MAX_ELEMENTS]:
            yield f"{name}[{key!r}]", part
    elif isinstance(value, (list, tuple, set, frozenset)):
        for i, part in enumerate(list(value)[:_MAX_ELEMENTS]):
            yield f"{name}[{i}]", part
    if not isinstance(value, type):
        for key, part in getattr(value, "__dict__", {}).items():
            yield f"{name}.{key}", part


def _parts_of_function(function: FunctionType, name: str) -> Iterator[tuple[str, Any]]:
    function_name = function.__qualname__
    for variable, cell in zip(
        function.__code__.co_freevars, function.__closure__ or (), strict=True
    ):
        try:
            yield f"{variable} (a variable that {function_name} refers to)", cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for variable in _global_names(function.__code__):
        if variable in function.__globals__:
            what = f"{variable} (a global variable that {function_name} uses)"
            yield what, function.__globals__[variable]
    for i, default in enumerate(function.__defaults__ or ()):
        yield f"{name}.__defaults__[{i}]", default
    for key, default in (function.__kwdefaults__ or {}).items():
        yield f"{name}.__kwdefaults__[{key!r}]", default


def _global_names(code: CodeType) -> list[str]:
    """List the names that `code`, and the functions inside it, look up."""
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names.extend(_global_names(constant))
    return list(dict.fromkeys(names))
