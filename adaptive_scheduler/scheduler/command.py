"""Run the commands of a queueing system."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from adaptive_scheduler.errors import SchedulerUnavailableError

#: Seconds that a command gets, unless it needs more.
TIMEOUT = 60.0
#: Seconds that a killed command gets to close its output.
_LAST_WORDS = 5.0
#: Characters of a command that an error shows.
_SHOWN = 200


@dataclass(frozen=True)
class Finished:
    """What a command has said.

    Attributes
    ----------
    command
        Its words.
    returncode
        Its exit code.
    stdout, stderr
        All that it printed; bytes that are no text are replaced.
    """

    command: Sequence[str]
    returncode: int
    stdout: str
    stderr: str

    @property
    def complaint(self) -> str:
        """Why it failed, in its own words."""
        return self.stderr.strip() or self.stdout.strip() or f"exit code {self.returncode}"


def run_command(
    command: Sequence[str],
    *,
    timeout: float = TIMEOUT,
    environment: Mapping[str, str] | None = None,
    text: str | None = None,
) -> Finished:
    """Run a command until it ends, and return what it said, whatever its exit code.

    Ctrl-C does not reach it. When there is no answer in time, it is killed
    with all that it has started.

    Parameters
    ----------
    command
        The program and its arguments.
    timeout
        Seconds that it gets.
    environment
        Its variables; by default ours.
    text
        What it reads from its input; by default nothing.

    Raises
    ------
    SchedulerUnavailableError
        If it can't be run, does not answer in time, or is ended by a signal:
        what it has done is not known.
    """
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise SchedulerUnavailableError(
            f"`{command[0]}` can't be run: {error.strerror}. Is this a machine from which jobs "
            "are submitted, and is the scheduler's folder of programs on PATH?"
        ) from error
    with process:
        try:
            stdout, stderr = process.communicate(text, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            _kill(process)
            raise SchedulerUnavailableError(
                f"`{shown(command)}` did not answer within {timeout:g} s."
            ) from error
        except BaseException:  # Ctrl-C as well: no command outlives its caller
            _kill(process)
            raise
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        raise SchedulerUnavailableError(f"`{shown(command)}` was ended by {name}: {stderr.strip()}")
    return Finished(command, process.returncode, stdout, stderr)


def shown(command: Sequence[str]) -> str:
    """Return a command as it would be typed; a very long one is cut."""
    text = shlex.join(command)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + " ..."


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=_LAST_WORDS)
