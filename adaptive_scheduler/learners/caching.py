"""Functions that remember their results, for all processes of a host."""

from __future__ import annotations

import functools
import hashlib
import inspect
import io
import os
import pickle
import secrets
import shutil
import tempfile
import time
from contextlib import suppress
from multiprocessing.util import Finalize
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import cloudpickle

from adaptive_scheduler._common.trusted import may_be_anothers, read_trusted
from adaptive_scheduler.errors import (
    DataFileError,
    InvalidInputError,
    UnpicklableError,
    UntrustedFileError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LRUCachedCallable", "_SharedFolder", "shared_memory_cache"]

#: Begins the names of files that are being written.
_UNFINISHED = "."

#: What pickle and cloudpickle raise for an object that can't be pickled.
_CANT_PICKLE = (pickle.PicklingError, TypeError, AttributeError, RecursionError)


class _SharedFolder:
    """A temporary folder that holds values by key, the same for all processes with its token.

    What can't be written, is gone, or may be another user's, is as if it had never been
    there: the folder is for what can be had again.

    Parameters
    ----------
    token
        Names the folder. Random, so that nobody else's has the same.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        name = f"adaptive-scheduler-cache-{os.getuid()}-{token}"
        self.path = Path(tempfile.gettempdir()) / name

    def make(self, owner: object | None) -> None:
        """Make the folder. Who makes it removes it, with `owner` or when the process ends.

        Raises
        ------
        DataFileError
            Somebody else made it, or can write into it: what lies in it is not to be unpickled.
        """
        try:
            self.path.mkdir(mode=0o700)
        except FileExistsError:
            if may_be_anothers(self.path):
                raise DataFileError(
                    f"Somebody else may have written into {self.path}: remove it, or set TMPDIR."
                ) from None
        except OSError:
            return  # There is no place for it: then nothing is remembered.
        else:
            kwargs = {"ignore_errors": True}
            Finalize(owner, shutil.rmtree, (self.path,), kwargs, exitpriority=0)

    def read(self, key: str) -> bytes | None:
        """Return the value, now the latest used, or None."""
        path = self.path / key
        try:
            data = read_trusted(path)
            _set_time_of_use(path)
        except (OSError, UntrustedFileError):
            return None
        return data

    def read_all(self) -> dict[str, bytes]:
        """Return all values by key, the latest used last."""
        found = {}
        for path in self._by_time_of_use():
            with suppress(OSError, UntrustedFileError):
                found[path.name] = read_trusted(path)
        return found

    def write(self, key: str, data: bytes, max_size: int) -> None:
        """Add a value, and remove those that are not among the `max_size` latest used."""
        unfinished = self.path / f"{_UNFINISHED}{secrets.token_hex(8)}"
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            _set_time_of_use(unfinished)
            unfinished.replace(self.path / key)
        except OSError:
            with suppress(OSError):
                unfinished.unlink()
        for path in self._by_time_of_use()[:-max_size]:
            with suppress(OSError):
                path.unlink()

    def _by_time_of_use(self) -> list[Path]:
        times: dict[str, int] = {}
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):  # Another process may just have removed it.
                        times[entry.name] = entry.stat().st_mtime_ns
        except OSError:
            return []
        names = [name for name in times if not name.startswith(_UNFINISHED)]
        return [self.path / name for name in sorted(names, key=times.__getitem__)]


def _set_time_of_use(path: Path) -> None:
    """Set it to the nanosecond; the file system's own clock is thousands of times coarser."""
    now = time.time_ns()
    os.utime(path, ns=(now, now))


def shared_memory_cache(
    cache_size: int = 128,
) -> Callable[[Callable[..., Any]], LRUCachedCallable]:
    """Decorate a function so that it remembers its latest results.

    All processes of a host share them; see `LRUCachedCallable`.

    Parameters
    ----------
    cache_size
        How many results to remember.

    Examples
    --------
    >>> @shared_memory_cache(cache_size=10)
    ... def hamiltonian(length, width): ...
    """
    return functools.partial(LRUCachedCallable, max_size=cache_size)


class LRUCachedCallable:
    """A function that remembers its latest results.

    Its copies in other processes of the same host, however they got there,
    share what they remember. It lies in temporary files that vanish with the
    function or the process that made them. What finds no place there, on a
    full disk for example, is not remembered.

    Parameters
    ----------
    function
        Returns the same for the same arguments.
    max_size
        How many results to remember. The one that has not been asked for the
        longest time is forgotten first. With 0 nothing is remembered.
    with_cloudpickle
        Use cloudpickle for results that pickle can't store, such as lambdas.

    Raises
    ------
    InvalidInputError
        `max_size` is negative.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        max_size: int = 128,
        with_cloudpickle: bool = False,
    ) -> None:
        if max_size < 0:
            raise InvalidInputError(f"The number of results to remember can't be {max_size}.")
        self._set(
            function,
            max_size,
            with_cloudpickle=with_cloudpickle,
            folder=_SharedFolder(secrets.token_hex(16)),
        )
        self._folder.make(owner=self)

    def _set(
        self,
        function: Callable[..., Any],
        max_size: int,
        *,
        with_cloudpickle: bool,
        folder: _SharedFolder,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.max_size = max_size
        self.with_cloudpickle = with_cloudpickle
        self._folder = folder
        try:
            self._signature: inspect.Signature | None = inspect.signature(function)
        except ValueError:  # Some builtins have none.
            self._signature = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns, and call it only if that is not remembered.

        A call whose arguments can't be pickled always goes to the function.

        Raises
        ------
        UnpicklableError
            The result can't be stored.
        """
        key = self._key(args, kwargs) if self.max_size else None
        if key is None:
            return self.function(*args, **kwargs)
        stored = self._folder.read(key)
        if stored is not None:
            return pickle.loads(stored)
        result = self.function(*args, **kwargs)
        self._folder.write(key, self._dumps(result), self.max_size)
        return result

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.function!r}, max_size={self.max_size})"

    @property
    def cache_dict(self) -> dict[str, Any]:
        """What is remembered: results by a hash of their arguments, the latest used last."""
        return {key: pickle.loads(data) for key, data in self._folder.read_all().items()}

    def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """Return a hash that is the same however the same arguments are passed."""
        if self._signature is not None:
            try:
                call = self._signature.bind(*args, **kwargs)
            except TypeError:
                return None  # The function says best what is wrong with the call.
            call.apply_defaults()
            args, kwargs = call.args, call.kwargs
        arguments = (args, sorted(kwargs.items()))
        try:
            data = _pickle_or_cloudpickle(arguments)
        except _CANT_PICKLE:
            return None
        return hashlib.sha256(data).hexdigest()

    def _dumps(self, result: Any) -> bytes:
        dumps = _pickle_or_cloudpickle if self.with_cloudpickle else pickle.dumps
        try:
            return dumps(result)
        except _CANT_PICKLE as error:
            way_out = "don't cache it" if self.with_cloudpickle else "try with_cloudpickle=True"
            raise UnpicklableError(
                f"{self!r} can't remember its result, a {type(result).__name__}, because that "
                f"can't be pickled ({error}): {way_out}."
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        buffer = io.BytesIO()
        _FunctionPickler(buffer, owner=self).dump(self.function)
        return {
            "function": buffer.getvalue(),
            "max_size": self.max_size,
            "with_cloudpickle": self.with_cloudpickle,
            "token": self._folder.token,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        function = _FunctionUnpickler(io.BytesIO(state["function"]), owner=self).load()
        self._set(
            function,
            state["max_size"],
            with_cloudpickle=state["with_cloudpickle"],
            folder=_SharedFolder(state["token"]),
        )
        # Not for this copy alone: a worker gets a new one with every call.
        self._folder.make(owner=None)


class _FunctionPickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
    """Pickles a function that may refer to its cached self, as recursive ones do."""

    def __init__(self, file: IO[bytes], owner: LRUCachedCallable) -> None:
        super().__init__(file)
        self._owner = owner

    def persistent_id(self, obj: Any) -> str | None:
        return "owner" if obj is self._owner else None


class _FunctionUnpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], owner: LRUCachedCallable) -> None:
        super().__init__(file)
        self._owner = owner

    def persistent_load(self, _pid: str) -> LRUCachedCallable:
        return self._owner


def _pickle_or_cloudpickle(obj: Any) -> bytes:
    try:
        return pickle.dumps(obj)
    except _CANT_PICKLE:
        data: bytes = cloudpickle.dumps(obj)
        return data
