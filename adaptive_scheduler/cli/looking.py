"""Commands that look at runs, and change nothing."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler._common.tail import Position, last_lines, read_new_lines
from adaptive_scheduler.cli.figures import info_of
from adaptive_scheduler.errors import InvalidInputError, RunFolderError
from adaptive_scheduler.run_folder.models import LearnerEntry
from adaptive_scheduler.server_support.info import as_text
from adaptive_scheduler.server_support.remote import OutsideView, look_at
from adaptive_scheduler.server_support.terminal import Picture

if TYPE_CHECKING:
    from rich.console import Console

#: Seconds between two looks of ``--watch`` and ``--follow``.
_INTERVAL = 2.0
#: How many jobs ``logs`` shows if nobody says which.
_JOBS_SHOWN = 20
#: How far below a folder ``list`` looks for runs.
_DEPTH = 4


# Status.


def do_status(options: argparse.Namespace) -> None:
    """Show how a run does."""
    from rich.console import Console

    console = Console()
    if options.watch and console.is_terminal and not options.json:
        _watch(options.folder, console)
        return
    while True:
        view = look_at(options.folder)
        if options.json:
            print(json.dumps(_figures(view)), flush=True)
        elif console.is_terminal:
            console.print(_picture(view))
        else:
            stamp = f"{datetime.now():%H:%M:%S} " if options.watch else ""  # noqa: DTZ005  read by people
            print(stamp + _words(view), flush=True)
        if not options.watch or view.status != "running":
            return
        time.sleep(_INTERVAL)


def _watch(root: Path, console: Console) -> None:
    """Draw a run again and again in the same place."""
    from rich.live import Live

    view = look_at(root)
    with Live(_picture(view), console=console, auto_refresh=False) as live:
        while view.status == "running":
            time.sleep(_INTERVAL)
            view = look_at(root)
            live.update(_picture(view), refresh=True)


def _picture(view: OutsideView) -> Picture:
    return Picture(info_of(view), {"manager": _manager(view)})


def _figures(view: OutsideView) -> dict[str, object]:
    info = info_of(view)
    return {
        "folder": info.folder,
        "status": info.status,
        "is_paused": info.is_paused,
        "learners": {state: n for state, n in sorted(view.state.counts.items()) if n},
        "n_learners": info.n_learners,
        "jobs": view.n_jobs,
        "jobs_running": info.jobs_running,
        "jobs_pending": info.jobs_pending,
        "npoints": info.npoints,
        "core_hours": info.core_hours,
        "elapsed_time": info.elapsed_time,
        "time_left": None if info.time_left is None else info.time_left.total_seconds(),
        "manager": None if view.holder is None else str(view.holder),
        "errors": {failure.learner: failure.error for failure in info.failures},
    }


def _words(view: OutsideView) -> str:
    first, *others = as_text(info_of(view)).splitlines()
    return "\n".join([first, f"  {_manager(view)}", *others])


def _manager(view: OutsideView) -> str:
    return f"managed by {view.holder}" if view.holder else "nobody manages it now"


# List.


def do_list(options: argparse.Namespace) -> None:
    """List the runs in a folder and below."""
    if not options.folder.is_dir():
        raise InvalidInputError(f"'{options.folder}' is no folder.")
    rows = [_row(root) for root in sorted(_run_folders(options.folder))]
    if options.json:
        print(json.dumps(rows))
        return
    if not rows:
        print(f"There is no run in '{options.folder.absolute()}' or below.")
        return
    table = [("folder", "status", "done", "failed", "jobs", "last change")]
    table += [
        (
            str(row["folder"]),
            str(row["status"]),
            f"{row['n_done']}/{row['n_learners']}",
            str(row["n_failed"] or ""),
            str(row["jobs"] or ""),
            str(row["changed"]),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def _run_folders(top: Path) -> Iterator[Path]:
    """Yield the folders of the user's own runs: settings of others are never read."""
    for name, folders, files in os.walk(top):
        folder = Path(name)
        if "settings.pickle" in files:
            folders.clear()
            with suppress(OSError):
                if (folder / "settings.pickle").stat().st_uid == os.getuid():
                    yield folder
        elif len(folder.relative_to(top).parts) >= _DEPTH:
            folders.clear()
        else:
            folders[:] = [each for each in folders if not each.startswith(".")]


def _row(root: Path) -> Mapping[str, object]:
    row: dict[str, object] = {"folder": str(root), "status": "unreadable", "jobs": 0}
    row |= {"n_learners": 0, "n_done": 0, "n_failed": 0, "changed": ""}
    with suppress(RunFolderError, OSError):
        view = look_at(root)
        info = info_of(view)
        changed = datetime.fromtimestamp(view.folder.journal.stat().st_mtime)  # noqa: DTZ006  read by people
        row |= {
            "status": info.status,
            "jobs": view.n_jobs,
            "n_learners": info.n_learners,
            "n_done": info.n_done,
            "n_failed": info.n_failed,
            "changed": f"{changed:%Y-%m-%d %H:%M}",
        }
    return row


# Logs.


def do_logs(options: argparse.Namespace) -> None:
    """Show the ends of logs and output."""
    view = look_at(options.folder)
    entries, n_left_out = _chosen(view, options)
    paths = list(dict.fromkeys(path for entry in entries for path in _files_of(view, entry)))
    read: dict[Path, Position] = {}
    for path in paths:
        if options.follow:
            read[path] = read_new_lines(path).position  # what is there already
        if text := last_lines(path, options.lines):
            print(f"==> {path}\n{text}\n", flush=True)
    if n_left_out:
        print(f"{n_left_out} further jobs: choose with --learner or --failed.")
    if options.follow:
        _follow(options.folder, read)


def _chosen(view: OutsideView, options: argparse.Namespace) -> tuple[list[LearnerEntry], int]:
    """Return the learners whose jobs are shown, failed ones first, and how many are left out."""
    learners = view.state.learners
    if options.learner is not None and not 0 <= options.learner < len(learners):
        raise InvalidInputError(
            f"The run has learners 0 to {len(learners) - 1}, and no learner {options.learner}."
        )
    entries = [
        entry
        for entry in learners
        if entry.job is not None
        and options.learner in (None, entry.index)
        and (entry.fails or not options.failed)
    ]
    entries.sort(key=lambda entry: (not entry.fails, -(entry.started or 0.0)))
    is_chosen = options.failed or options.learner is not None
    shown = len(entries) if is_chosen else _JOBS_SHOWN
    return entries[:shown], len(entries[shown:])


def _files_of(view: OutsideView, entry: LearnerEntry) -> list[Path]:
    job_id = "" if entry.job is None else entry.job.job_id
    return [view.folder.output_of(entry.job_name, job_id), Path(entry.log_fname)]


def _follow(root: Path, read: dict[Path, Position]) -> None:
    shown: Path | None = None
    is_over = False
    while not is_over:
        is_over = look_at(root).status != "running"  # asked first: the last lines are shown, too
        for path, position in read.items():
            new = read_new_lines(path, position)
            read[path] = new.position
            for line in new.lines:
                print(line if path == shown else f"==> {path}\n{line}", flush=True)
                shown = path
        if not is_over:
            time.sleep(_INTERVAL)
