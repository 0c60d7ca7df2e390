"""The command ``adaptive-scheduler``: look at runs, and cancel them, from a shell."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler.errors import AdaptiveSchedulerError

if TYPE_CHECKING:
    from adaptive_scheduler.outside import OutsideView

#: Lines of each log that ``logs`` shows by default.
_LINES = 20
#: Seconds between two looks of ``status --watch``.
_WATCH_INTERVAL = 2.0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="adaptive-scheduler", description="Look at runs of adaptive-scheduler."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    status = commands.add_parser("status", help="how far is a run, and what is wrong")
    status.add_argument("--json", action="store_true", help="for programs")
    status.add_argument("--watch", action="store_true", help="again and again, until the end")
    commands.add_parser("cancel", help="cancel a run; its jobs save first")
    logs = commands.add_parser("logs", help="the ends of the jobs' logs and output")
    logs.add_argument("--learner", type=int, help="of the job that had this learner last")
    logs.add_argument("-n", "--lines", type=int, default=_LINES, help="of each (%(default)s)")
    for command in commands.choices.values():
        command.add_argument("folder", type=Path, help="the run folder, such as sweep-run")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says, and return the exit code."""
    options = make_parser().parse_args(arguments)
    try:
        match options.command:
            case "status":
                _status(options.folder, as_json=options.json, watch=options.watch)
            case "cancel":
                _cancel(options.folder)
            case "logs":
                _logs(options.folder, options.learner, options.lines)
    except AdaptiveSchedulerError as error:
        print(f"adaptive-scheduler: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever reads what is printed has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _status(folder: Path, *, as_json: bool, watch: bool) -> None:
    from adaptive_scheduler.outside import look_at

    while True:
        view = look_at(folder)
        print(json.dumps(_figures(view)) if as_json else _words(view), flush=True)
        if not watch or view.status != "running":
            return
        time.sleep(_WATCH_INTERVAL)


def _figures(view: OutsideView) -> dict[str, object]:
    return {
        "folder": str(view.folder.root),
        "status": view.status,
        "learners": {state: n for state, n in sorted(view.state.counts.items()) if n},
        "n_learners": len(view.state.learners),
        "jobs": view.n_jobs,
        "manager": None if view.holder is None else str(view.holder),
        "errors": {e.index: e.error for e in view.state.learners if e.fails},
    }


def _words(view: OutsideView) -> str:
    counts = ", ".join(f"{n} {state}" for state, n in sorted(view.state.counts.items()) if n)
    manager = f"managed by {view.holder}" if view.holder else "nobody manages it now"
    lines = [
        f"{datetime.now():%H:%M:%S} {view.folder.root.name}: {view.status}, {manager}",  # noqa: DTZ005  shown to people
        f"  {len(view.state.learners)} learners: {counts}; {view.n_jobs} jobs",
    ]
    lines += [
        f"  learner {entry.index} failed {entry.fails} times: {entry.error}"
        for entry in view.state.learners
        if entry.fails
    ]
    return "\n".join(lines)


def _cancel(folder: Path) -> None:
    from adaptive_scheduler.outside import cancel_from_outside

    print(cancel_from_outside(folder))


def _logs(folder: Path, learner: int | None, n_lines: int) -> None:
    from adaptive_scheduler.outside import look_at
    from adaptive_scheduler.server_support.logs import last_lines

    view = look_at(folder)
    entries = [e for e in view.state.learners if learner in (None, e.index) and e.job is not None]
    shown: set[Path] = set()
    for entry in entries:
        output = view.folder.output_of(entry.job_name, entry.job.job_id if entry.job else "")
        for path in (output, Path(entry.log_fname)):
            if path not in shown and (text := last_lines(path, n_lines)):
                print(f"==> {path}\n{text}\n")
            shown.add(path)
