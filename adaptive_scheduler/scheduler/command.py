"""Run the commands of a queueing system."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Collection, Mapping, Sequence
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


class Commands:
    """Runs the commands of one queueing system.

    Parameters
    ----------
    hidden
        Names of variables that the commands don't get.
    noise
        Lines of complaints that mean nothing.
    timeout
        Seconds that a command gets, unless it needs more; None for as many as usual.
    """

    #: Seconds that a command gets where nothing else is said.
    timeout: float = TIMEOUT

    def __init__(
        self,
        *,
        hidden: re.Pattern[str] | None = None,
        noise: Collection[str] = (),
        timeout: float | None = None,
    ) -> None:
        if timeout is not None:
            self.timeout = timeout
        self._hidden = hidden
        self._noise = noise
        self._fixed: dict[str, str | None] = {}

    def fix(self, variables: Mapping[str, str | None]) -> None:
        """Give the commands these variables from now on, whatever the environment says.

        A variable that is None is one that they don't get.
        """
        self._fixed |= variables

    def environment(self) -> dict[str, str]:
        """Return the variables that commands get which submit jobs; most pass them on to these."""
        hidden = self._hidden
        found: dict[str, str | None] = {
            name: value
            for name, value in os.environ.items()
            if hidden is None or not hidden.fullmatch(name)
        }
        return {name: value for name, value in (found | self._fixed).items() if value is not None}

    def run(
        self, command: Sequence[str], *, text: str | None = None, timeout: float | None = None
    ) -> Finished:
        """Run a command that submits jobs, and return what it said; see `run_command`."""
        return run_command(
            command,
            timeout=self.timeout if timeout is None else timeout,
            environment=self.environment(),
            text=text,
        )

    def look(self, command: Sequence[str]) -> Finished:
        """Ask a question, and return the answer, whatever its exit code; see `run_command`.

        It is in English, and its times are UTC: at the end of summer, local
        time has an hour twice.
        """
        environment = self.environment() | {"LC_ALL": "C", "TZ": "UTC0"}
        return run_command(command, timeout=self.timeout, environment=environment)

    def ask(self, command: Sequence[str], *, harmless: Collection[str] = ()) -> str:
        """Ask a question, and return what was printed if that can be trusted; see `checked`."""
        return self.checked(self.look(command), harmless=harmless).stdout

    def checked(self, answer: Finished, *, harmless: Collection[str] = ()) -> Finished:
        """Return an answer that can be trusted.

        Parameters
        ----------
        answer
            Of a command.
        harmless
            Complaints that are part of a good answer, whatever the exit code.

        Raises
        ------
        SchedulerUnavailableError
            If it tells of another failure.
        """
        if answer.returncode and not self._is_harmless(answer, harmless):
            raise SchedulerUnavailableError(f"`{shown(answer.command)}` failed: {answer.complaint}")
        return answer

    def _is_harmless(self, answer: Finished, harmless: Collection[str]) -> bool:
        lines = (line.strip() for line in answer.stderr.splitlines())
        complaints = [line for line in lines if line and line not in self._noise]
        return bool(complaints) and all(any(h in line for h in harmless) for line in complaints)


def shown(command: Sequence[str]) -> str:
    """Return a command as it would be typed; a very long one is cut."""
    text = shlex.join(command)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + " ..."


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=_LAST_WORDS)
