"""Functions that workers load once, not with every point."""

from __future__ import annotations

import os
import pickle
import secrets
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args
from weakref import WeakValueDictionary

from adaptive_scheduler._common import by_value
from adaptive_scheduler._common.by_value import SourceFiles
from adaptive_scheduler._common.trusted import read_trusted
from adaptive_scheduler.errors import (
    DataFileError,
    InvalidInputError,
    UnpicklableError,
    UntrustedFileError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WrappedFunction"]

_Mode: TypeAlias = Literal["memory", "random_id", "file"]

#: How many functions that came from elsewhere a process keeps. A
#: `BalancingLearner` may have one for each of its learners.
_N_KEPT = 128


class WrappedFunction:
    """A function that workers load once, however often it is sent to them.

    An executor pickles the function with every point. If it holds a large
    array, that takes longer than many an evaluation. This sends a short ticket
    instead. What a worker gets is the function as it was when it was pickled
    for the first time; later changes of what it refers to stay here.

    Parameters
    ----------
    function
        A function that cloudpickle can pickle.
    mode
        What the ticket says.

        - ``"random_id"``: an id and a file. A forked worker has the function
          in memory and looks it up; others read the file, which is written
          when the ticket is first needed.
        - ``"file"``: the same, and the file is written at once.
        - ``"memory"``: everything. Workers are spared only the loading, but
          this ticket is good anywhere: on other hosts, and for learners that
          are pickled to be used later.
    folder
        Where to write the file. By default it is with the host's temporary
        files; workers on other hosts need one that they see, too.

    Raises
    ------
    InvalidInputError
        There is no such `mode`.
    UnpicklableError
        The function can't be pickled. Only the mode ``"file"`` finds out at
        once; the others do so when they are pickled.

    Notes
    -----
    The file is removed when the process that wrote it ends. A copy that needs
    it after that raises `DataFileError` when it is called.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        mode: _Mode = "random_id",
        folder: str | Path | None = None,
    ) -> None:
        if mode not in get_args(_Mode):
            known = ", ".join(map(repr, get_args(_Mode)))
            raise InvalidInputError(f"WrappedFunction has no mode {mode!r}. There are: {known}.")
        self.mode = mode
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self._find: Callable[[], Callable[..., Any]] = lambda: function
        self._folder = folder
        self._id = secrets.token_hex(16)
        self._ticket: _Ticket | None = None
        _MADE_HERE[self._id] = self
        if mode == "file":
            self._ticket = self._write_ticket()

    @property
    def function(self) -> Callable[..., Any]:
        """The function itself.

        Raises
        ------
        DataFileError
            It is not in this process yet, and its file can't be read.
        """
        return self._find()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        # inspect.signature asks for this, and adaptive wants the signature.
        if name == "__wrapped__":
            return self.function
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.__name__}, mode={self.mode!r})"

    def __getstate__(self) -> _Ticket:
        if self._ticket is None:
            self._ticket = self._write_ticket()
        return self._ticket

    def __setstate__(self, ticket: _Ticket) -> None:
        self.mode = ticket.mode
        self.__name__ = ticket.name
        # When it is needed, not now: an error here would take the whole worker down.
        self._find = partial(_collect, ticket)
        self._ticket = ticket

    def _write_ticket(self) -> _Ticket:
        files = SourceFiles()
        dumps = files.dumps if self.mode == "memory" else by_value.dumps
        try:
            content = dumps(self.function)
        except Exception as error:  # pickling runs the user's code
            raise UnpicklableError(
                f"The function {self.__name__} can't be sent to workers, because it can't be "
                f"pickled ({type(error).__name__}: {error}). Open files, locks and connections "
                "inside the function instead of around it."
            ) from error
        if self.mode == "memory":
            return _Ticket(self._id, self.__name__, self.mode, content, files)
        return _Ticket(self._id, self.__name__, self.mode, _write(content, self._folder), files)


@dataclass(frozen=True)
class _Ticket:
    """What travels instead of a function."""

    id: str
    name: str
    mode: _Mode
    #: The pickled function, or the path of the file that it is in.
    function: bytes | str
    #: Where the pickled function was defined.
    files: SourceFiles


#: Functions wrapped in this process, and so in memory of processes forked from it.
_MADE_HERE: WeakValueDictionary[str, WrappedFunction] = WeakValueDictionary()

#: Functions that came from elsewhere: each call brings a new copy of the
#: wrapper, and all of them share these. The latest used is the last.
_ARRIVED: dict[str, Callable[..., Any]] = {}


def _collect(ticket: _Ticket) -> Callable[..., Any]:
    """Return the function that is in this process already, or load it."""
    original = _MADE_HERE.get(ticket.id)
    if original is not None:
        return original.function
    function: Callable[..., Any] | None = _ARRIVED.pop(ticket.id, None)
    if function is None:
        where = ticket.function
        content = where if isinstance(where, bytes) else _read(ticket.name, where)
        function = pickle.loads(content)
    _ARRIVED[ticket.id] = function
    if len(_ARRIVED) > _N_KEPT:
        _ARRIVED.pop(next(iter(_ARRIVED)), None)
    return function


def _read(name: str, path: str) -> bytes:
    try:
        return read_trusted(path)
    except UntrustedFileError as error:
        raise DataFileError(f"The function {name} can't be loaded: {error}") from error
    except OSError as error:
        raise DataFileError(
            f"The function {name} can't be loaded from {path} ({error.strerror}). "
            "It is there only on the host of the process that wrapped the function, and as long "
            "as that runs. Use WrappedFunction(..., mode='memory'), or a `folder` that all hosts "
            "see."
        ) from error


def _write(content: bytes, folder: str | Path | None) -> str:
    """Write a file that only the user can read, and that is removed when this process ends."""
    descriptor, path = tempfile.mkstemp(prefix="adaptive-scheduler-function-", dir=folder)
    Finalize(None, _remove, (path,), exitpriority=0)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return path


def _remove(path: str) -> None:
    with suppress(OSError):
        Path(path).unlink(missing_ok=True)
