"""Calls of functions, as points of a learner: how they travel to jobs, and outcomes back.

A point is a `Call`, the value of the learner's function an outcome: bytes that
hold what the user's function returned, or what it raised. So a call that
raises is a point like any other, and stops no other call.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from adaptive_scheduler._common.by_value import SourceFiles
from adaptive_scheduler.errors import CallError


class Call(NamedTuple):
    """One call.

    Attributes
    ----------
    function
        The function's number, see `Calls`.
    arguments
        Its arguments and keyword arguments, pickled.
    """

    function: int
    arguments: bytes


class Calls:
    """The function of a learner whose points are calls.

    Parameters
    ----------
    functions
        The functions that are called, each in a pickled tuple of its own.
    files
        Where the user's functions were defined, those in arguments as well.
    """

    def __init__(self, functions: Sequence[bytes], files: SourceFiles) -> None:
        self.functions = tuple(functions)
        self.files = files

    def __call__(self, call: Call) -> bytes:
        """Call the function, and return the outcome, whatever it is."""
        number, arguments = call
        try:
            function = _unpickled(self.functions[number])
            args, kwargs = pickle.loads(arguments)
            result = function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001  the user's own, passed on, sys.exit() as well
            return _raised(error)
        try:
            return _as_bytes((True, result))
        except Exception as error:  # noqa: BLE001  whatever a user's class raises
            what = f"What the call returned, a {type(result).__name__}, can't be pickled"
            return _raised(CallError(f"{what}: {error}"))


def outcome_of(content: bytes) -> tuple[bool, Any]:
    """Return whether a call returned, and its result, or else its exception.

    The exception's cause has the traceback in words, as in the processes of
    `concurrent.futures`.
    """
    try:
        has_returned, outcome = pickle.loads(content)
        if has_returned:
            return True, outcome
        pickled, summary, text = outcome
        error = CallError(summary) if pickled is None else pickle.loads(pickled)
    except Exception as reason:  # noqa: BLE001  unpickling runs the user's code
        error = CallError(
            f"What the call returned or raised can't be read here: {reason!r}. Its classes must "
            "be importable where the result is wanted, too."
        )
        error.__cause__ = reason
        return False, error
    error.__cause__ = RemoteTraceback(text)
    return False, error


class RemoteTraceback(Exception):  # noqa: N818  it is shown as the cause of an error
    """Where a call raised, in another process, in words."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _raised(error: BaseException) -> bytes:
    text = "".join(traceback.format_exception(type(error), error, _users_frames(error)))
    summary = traceback.format_exception_only(error)[-1].strip()
    return _as_bytes((False, (_pickled_exception(error), summary, text)))


def _users_frames(error: BaseException) -> Any:
    """Return the traceback from the user's function on."""
    return None if error.__traceback__ is None else error.__traceback__.tb_next


def _pickled_exception(error: BaseException) -> bytes | None:
    """Pickle an exception; None if it could not be unpickled again."""
    try:
        # Packages such as tblib have pickle take the traceback along, with our own frames.
        content = _as_bytes(error.with_traceback(None))
        return content if isinstance(pickle.loads(content), BaseException) else None
    except Exception:  # noqa: BLE001  its class is the user's: words will do
        return None


def _as_bytes(value: Any) -> bytes:
    """Pickle what goes back to where the functions came from: their source is known there."""
    return SourceFiles().dumps(value)


@lru_cache(maxsize=64)
def _unpickled(function: bytes) -> Callable[..., Any]:
    """Return a function; the calls that a worker makes of it share what it keeps."""
    (unpickled,) = pickle.loads(function)
    called: Callable[..., Any] = unpickled
    return called
