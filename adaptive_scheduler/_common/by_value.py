"""Pickle functions by value, so that tracebacks show the user's own file and lines.

Functions of scripts and notebooks, and closures, can't be imported in another
process: cloudpickle sends their code. It keeps line numbers, but neither the
source nor, since version 3.1.3, the name of the file. Here the name travels
with each code object, and the lines of each file once, in a `SourceFiles`.
Where that is unpickled, `linecache` gets the lines, and tracebacks find them.

Learners of adaptive call ``cloudpickle.dumps`` themselves, inside of ours. So
the name is added in cloudpickle's own table of reducers, and only while
`SourceFiles.dumps` runs: whatever else uses cloudpickle sees no difference.
"""

from __future__ import annotations

import linecache
import pickle
import sys
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from functools import cache, partial
from types import CodeType
from typing import Any, TypeAlias

import cloudpickle

__all__ = ["SourceFiles", "dumps", "show_lines"]

_Reduced: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]

#: The names that the innermost `SourceFiles.dumps` collects, while one runs.
_COLLECTED: ContextVar[set[str] | None] = ContextVar("collected", default=None)


class SourceFiles:
    """The files in which functions were defined that have been pickled.

    When this is pickled, the lines of the files go along. Inside of another
    `SourceFiles.dumps` only the names do: the lines are up to that one.

    Parameters
    ----------
    names
        The names of files, or of notebook cells.

    Examples
    --------
    >>> files = SourceFiles()
    >>> contents = [files.dumps(function) for function in (len, lambda x: x + 1)]
    >>> len(files.names)
    1
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names = set(names)

    def dumps(self, value: Any) -> bytes:
        """Pickle `value` without source lines, and collect the files of its functions."""
        _add_file_names()
        token = _COLLECTED.set(self.names)
        try:
            content: bytes = cloudpickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        finally:
            _COLLECTED.reset(token)
        return content

    def lines(self) -> dict[str, list[str]]:
        """Return the lines of each file, as far as they are known."""
        found = {}
        for name in sorted(self.names):
            linecache.checkcache(name)
            if lines := linecache.getlines(name):
                found[name] = lines
        return found

    def __reduce__(self) -> _Reduced:
        outer = _COLLECTED.get()
        if outer is None:
            return _source_files, (self.names, self.lines())
        outer |= self.names
        return _source_files, (self.names, {})


def dumps(value: Any) -> bytes:
    """Pickle `value` together with the source lines of its functions.

    ``pickle.loads`` reads it.
    """
    files = SourceFiles()
    content = files.dumps(value)
    if not files.names:
        return content
    return pickle.dumps(_WithLines(content, files.lines()), pickle.HIGHEST_PROTOCOL)


def show_lines(lines: Mapping[str, list[str]]) -> None:
    """Have tracebacks show these lines, by the name of their file.

    Modules of this process keep the lines that their files have here.
    """
    for name, wanted in lines.items():
        # Without a time of change, `linecache` does not look for a newer file.
        entry = (sum(map(len, wanted)), None, wanted, name)
        if linecache.cache.get(name) != entry and not _is_of_module(name):
            linecache.cache[name] = entry


class _WithLines:
    """A pickle, and the lines of the functions in it."""

    def __init__(self, content: bytes, lines: dict[str, list[str]]) -> None:
        self._content = content
        self._lines = lines

    def __reduce__(self) -> _Reduced:
        return _loads, (self._content, self._lines)


@cache
def _add_file_names() -> None:
    """Let cloudpickle send the names of files, where they are collected."""
    table = cloudpickle.Pickler.dispatch_table
    table[CodeType] = partial(_reduce_code, table[CodeType])


def _reduce_code(reduce: Callable[[CodeType], _Reduced], code: CodeType) -> _Reduced:
    names = _COLLECTED.get()
    if names is None:
        return reduce(code)
    names.add(code.co_filename)
    make, arguments = reduce(code)
    return _named_code, (code.co_filename, make, arguments)


def _is_of_module(name: str) -> bool:
    # Not by getattr: modules that load themselves when they are used would do so.
    modules = [getattr(module, "__dict__", {}) for module in list(sys.modules.values())]
    return any(module.get("__file__") == name for module in modules)


# What pickles call when they are loaded.


def _named_code(name: str, make: Callable[..., CodeType], arguments: tuple[Any, ...]) -> CodeType:
    return make(*arguments).replace(co_filename=name)


def _source_files(names: set[str], lines: dict[str, list[str]]) -> SourceFiles:
    show_lines(lines)
    return SourceFiles(names)


def _loads(content: bytes, lines: dict[str, list[str]]) -> Any:
    show_lines(lines)
    return pickle.loads(content)
