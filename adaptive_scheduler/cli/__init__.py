"""The command ``adaptive-scheduler``: look at runs, and handle them, from a shell.

It exits with 0 if it did what it was told, with 1 if it could not, which one
line of words explains, with 2 if it was told wrongly, and with 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.scheduler.registry import known_kinds
from adaptive_scheduler.version import __version__

__all__ = ["main", "make_parser"]

#: Exit codes of a shell's command.
_FAILED, _INTERRUPTED = 1, 130
#: Lines of each log that ``logs`` shows by default.
_LINES = 20
#: Seconds that ``doctor`` waits for its job.
_DOCTOR_PATIENCE = 300.0

_DESCRIPTION = """\
Look at runs of adaptive-scheduler, and handle them, from any shell.

Each run has a folder, '{job_name}-run' unless the program named another. It
need not be your process that manages the run; nobody need manage it at all.
"""
_ENDING = """\
exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted

examples:
  adaptive-scheduler list
  adaptive-scheduler status sweep-run --watch
  adaptive-scheduler logs sweep-run --failed
  adaptive-scheduler retry sweep-run --learner 3 17
  adaptive-scheduler doctor
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="adaptive-scheduler",
        description=_DESCRIPTION,
        epilog=_ENDING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    status = _command(commands, "status", "show how far a run is, and what is wrong")
    status.add_argument("--watch", action="store_true", help="again and again, until its end")
    _add_json(status)

    runs = _command(commands, "list", "list the runs in a folder and below", of_run=False)
    runs.add_argument("folder", type=Path, nargs="?", default=Path(), help="here by default")
    _add_json(runs)

    logs = _command(commands, "logs", "show the ends of the jobs' logs and output")
    logs.add_argument("--learner", type=int, metavar="N", help="of the job that had learner N last")
    logs.add_argument("--failed", action="store_true", help="of learners that failed last time")
    logs.add_argument("--follow", action="store_true", help="and what is added, until the end")
    logs.add_argument(
        "-n", "--lines", type=int, metavar="N", default=_LINES, help="of each file (%(default)s)"
    )

    cancel = _command(commands, "cancel", "cancel a run and its jobs, which save first")
    _add_learners(cancel, "only these, which no job runs until they are retried")

    pause = _command(commands, "pause", "submit no new jobs; those in the queue and running go on")
    resume = _command(commands, "resume", "submit jobs again")
    retry = _command(commands, "retry", "try learners again that were given up")
    _add_learners(retry, "only these")

    attach = _command(commands, "attach", "manage a run in this shell, until its end")
    attach.add_argument(
        "--again", action="store_true", help="also if it is over, or a copy that was never started"
    )
    attach.add_argument(
        "--take-over",
        action="store_true",
        help="from a manager on a host that does not answer; only if you know that it is dead",
    )

    attach.add_argument(
        "--trust",
        action="store_true",
        help="also the run of another user; that runs as you what they have put there",
    )
    for command in (cancel, pause, resume, retry, attach):
        command.add_argument(
            "--moved",
            action="store_true",
            help="the run was moved here from a place that can't be looked at; only if you know "
            "that this is no copy",
        )

    _add_doctor(commands)
    return parser


def _add_doctor(commands: Any) -> None:
    doctor = _command(
        commands,
        "doctor",
        "check that runs will work here, with a tiny job; say what to do if not",
        of_run=False,
    )
    doctor.add_argument("folder", type=Path, nargs="?", default=Path(), help="where runs would be")
    doctor.add_argument(
        "--scheduler",
        type=str.upper,
        choices=[kind.upper() for kind in known_kinds()],
        help="by default the one that this machine has",
    )
    doctor.add_argument("--cores", type=int, default=1, help="of the tiny job (%(default)s)")
    doctor.add_argument("--partition", help="for the tiny job; of PBS, the queue")
    doctor.add_argument("--time", default="00:05:00", help="of the tiny job (%(default)s)")
    doctor.add_argument(
        "--timeout",
        type=float,
        default=_DOCTOR_PATIENCE,
        metavar="SECONDS",
        help="how long the tiny job may take, with its time in the queue (%(default)g)",
    )
    doctor.add_argument("--no-job", action="store_true", help="submit nothing")
    _add_json(doctor)


def _command(
    commands: Any, name: str, words: str, *, of_run: bool = True
) -> argparse.ArgumentParser:
    """Add a command, which the function ``do_{name}`` of this package carries out."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=words, description=f"{words[0].upper()}{words[1:]}."
    )
    command.set_defaults(command=name, learner=None)
    if of_run:
        command.add_argument("folder", type=Path, help="the run folder, such as sweep-run")
    return command


def _add_learners(command: argparse.ArgumentParser, words: str) -> None:
    command.add_argument("--learner", type=int, nargs="+", metavar="N", help=words)


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="for programs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says, and return the exit code."""
    options = make_parser().parse_args(arguments)
    try:
        # Imported when it is called: most commands are short.
        name = "doctor" if options.command == "doctor" else "commands"
        module = import_module(f"adaptive_scheduler.cli.{name}")
        code: int | None = getattr(module, f"do_{options.command}")(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads what is printed has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except (AdaptiveSchedulerError, OSError) as error:
        print(f"adaptive-scheduler: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED
    return int(code or 0)
