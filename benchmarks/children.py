"""Processes that a benchmark asks questions, one line of JSON each way."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

#: Seconds in which a child must have answered.
_PATIENCE = 300.0
#: Seconds that it has for its own end.
_LAST_PATIENCE = 10.0
#: Characters of its complaints that are shown.
_MOST_ERRORS = 3000


class ChildFailedError(Exception):
    """A child process ended or did not answer; the message has what it wrote to stderr."""


class Child:
    """A Python script that calls `serve`, in a process of its own.

    It ends when the ``with`` block does.

    Parameters
    ----------
    python
        The Python that runs it.
    script
        The script, in this folder.
    *arguments
        Its command line.
    folder
        Its working folder.
    """

    def __init__(self, python: Path | str, script: str, *arguments: str, folder: Path) -> None:
        self._name = " ".join([script, *arguments])
        self._errors = folder / f"{self._name}.errors"
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [python, Path(__file__).with_name(script), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env=environment(),
                text=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it may have ended by itself
            self._process.stdin.close()
        try:
            self._process.wait(_LAST_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, question: str, **arguments: Any) -> dict[str, Any]:
        """Have the child call a function, and return what that returned.

        Raises
        ------
        ChildFailedError
            If there was no answer.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        killer = threading.Timer(_PATIENCE, self._process.kill)
        killer.start()
        try:
            self._process.stdin.write(json.dumps([question, arguments]) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            killer.cancel()
        if not line:
            errors = self._errors.read_text(errors="replace")[-_MOST_ERRORS:]
            raise ChildFailedError(f"{self._name} did not answer {question!r}:\n{errors}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def environment() -> dict[str, str]:
    """Return the environment, with compiled modules as users have them."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def serve(functions: Mapping[str, Callable[..., dict[str, Any]]]) -> None:
    """Answer the parent's questions until it closes the pipe."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what others print is no answer
    for line in sys.stdin:
        question, arguments = json.loads(line)
        answers.write(json.dumps(functions[question](**arguments)) + "\n")


def size_of(paths: Sequence[Path]) -> dict[str, int]:
    """Return how many files lie below these folders (or are these files), and their bytes."""
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
    sizes = [file.stat().st_size for file in files if file.is_file()]
    return {"files": len(sizes), "bytes": sum(sizes)}
