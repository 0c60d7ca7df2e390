"""What belongs to a run and only a pickle can hold: goal, callbacks, the scheduler."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from adaptive_scheduler._common import by_value
from adaptive_scheduler._common.signatures import options_of
from adaptive_scheduler._common.trusted import read_trusted
from adaptive_scheduler.errors import RunFolderError, UnpicklableError, UntrustedFileError

if TYPE_CHECKING:
    from typing import Self

    from adaptive_scheduler.run_folder.spec import RunSpec, User
    from adaptive_scheduler.scheduler.base import BaseScheduler


class Functions:
    """The content of ``functions.pickle``.

    Parameters
    ----------
    parts
        Each part by its name, pickled by itself: a job loads only what it needs.
    """

    def __init__(self, parts: Mapping[str, bytes]) -> None:
        self._parts = dict(parts)

    @classmethod
    def of(cls, spec: RunSpec, scheduler: BaseScheduler) -> Self:
        """Pickle the parameters of a run that JSON can't hold, and its scheduler.

        Raises
        ------
        UnpicklableError
            If one can't be pickled; it is named.
        """
        parts = {
            name: _pickled(name, getattr(spec, name))
            for name in options_of(type(spec))
            if spec.storage_of(name) == "functions"
        }
        return cls({**parts, "scheduler": _pickled("scheduler", scheduler)})

    @classmethod
    def read(cls, path: Path, *, trust: bool = False) -> Self:
        """Read the file; no part of it is unpickled yet.

        Parameters
        ----------
        path
            Where it lies.
        trust
            Read it even if another user may have written it: that runs their code.

        Raises
        ------
        UntrustedFileError
            If another user may have written it.
        RunFolderError
            If there is none, or it can't be read.
        """
        try:
            parts = pickle.loads(read_trusted(path, trust=trust))
            return cls({str(name): bytes(part) for name, part in parts.items()})
        except FileNotFoundError as error:
            raise RunFolderError(f"The run in '{path.parent}' has no '{path.name}'.") from error
        except UntrustedFileError:
            raise
        except Exception as error:  # whatever bytes that are no pickle bring about
            raise RunFolderError(f"'{path}' can't be read: {error!r}.") from error

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        return pickle.dumps(self._parts)

    @property
    def scheduler(self) -> BaseScheduler:
        """Where the jobs run.

        Raises
        ------
        UnpicklableError
            If it can't be loaded here.
        """
        scheduler: BaseScheduler = self._load("scheduler")
        return scheduler

    def complete(self, spec: RunSpec, *, of: User | None = None) -> RunSpec:
        """Return a spec with the parameters that it has no place for in JSON.

        Parameters
        ----------
        spec
            As it was read.
        of
            Only those that this part of a run needs; None stands for all.

        Raises
        ------
        UnpicklableError
            If one can't be loaded here.
        InvalidInputError
            If its value can't be.
        """
        wanted = {
            name: self._load(name)
            for name, each in options_of(type(spec)).items()
            if name in self._parts and of in (None, each.metadata["of"])
        }
        return dataclasses.replace(spec, **wanted)

    def _load(self, name: str) -> Any:
        try:
            return cloudpickle.loads(self._parts[name])
        except MemoryError:
            raise
        except Exception as error:  # unpickling runs what the user's modules bring
            raise UnpicklableError(
                f"`{name}` of the run can't be loaded: {error!r}. What it refers to must be "
                "importable here: install it, or add its folder to PYTHONPATH."
            ) from error


def _pickled(name: str, part: Any) -> bytes:
    try:
        return by_value.dumps(part)
    except Exception as error:  # pickling runs the user's code
        raise UnpicklableError(
            f"`{name}` must be pickled to travel with the run, but can't be: {error}"
        ) from error
