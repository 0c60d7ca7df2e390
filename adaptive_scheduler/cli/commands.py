"""The commands: those that look at runs, and those that change them.

Looking needs no manager, no network and no scheduler: what does is imported when it is used.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler._common.tail import Position, last_lines
from adaptive_scheduler.errors import InvalidInputError, RunFolderError, RunFolderLockedError
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.run_folder.project import Standing
from adaptive_scheduler.server_support.folder_view import FolderView
from adaptive_scheduler.server_support.info import RunInfo, as_text, stamp_of
from adaptive_scheduler.server_support.terminal import RunDrawing

if TYPE_CHECKING:
    from rich.console import Console

    from adaptive_scheduler.server_support.view import LearnerRow, RunView

#: Seconds between two looks of ``--watch`` and ``--follow``.
_INTERVAL = 2.0
#: How many jobs ``logs`` shows if nobody says which.
_JOBS_SHOWN = 20
#: How far below a folder ``list`` looks for runs.
_DEPTH = 4


# Status.


def do_status(options: argparse.Namespace) -> None:
    """Show the state of a run."""
    from rich.console import Console

    console = Console()
    view = FolderView(options.folder)
    if options.watch and console.is_terminal and not options.json:
        _watch(view, console)
        return
    while True:
        info = view.info()
        if options.json:
            print(json.dumps(_as_json(info)), flush=True)
        elif console.is_terminal:
            console.print(RunDrawing(info))
        else:
            stamp = f"{time.strftime('%H:%M:%S')} " if options.watch else ""
            print(stamp + as_text(info), flush=True)
        if not options.watch or info.status != "running":
            return
        time.sleep(_INTERVAL)


def _watch(view: RunView, console: Console) -> None:
    """Draw a run again and again in the same place."""
    from rich.live import Live

    info = view.info()
    with Live(RunDrawing(info), console=console, auto_refresh=False) as live:
        while info.status == "running":
            time.sleep(_INTERVAL)
            info = view.info()
            live.update(RunDrawing(info), refresh=True)


def _as_json(info: RunInfo) -> dict[str, object]:
    return {
        "folder": info.folder,
        "status": info.status,
        "as_of": info.as_of,
        "is_paused": info.is_paused,
        "learners": dict(sorted(info.counts.items())),
        "n_learners": info.n_learners,
        "jobs": info.jobs_running + info.jobs_pending,
        "jobs_running": info.jobs_running,
        "jobs_pending": info.jobs_pending,
        "npoints": info.npoints,
        "rate": info.rate,
        "loss": info.loss,
        "core_hours": info.core_hours,
        "elapsed_time": info.elapsed_time,
        "time_left": None if info.time_left is None else info.time_left.total_seconds(),
        "manager": info.manager or None,
        "errors": {failure.learner: failure.error for failure in info.failures},
    }


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
        spec = RunFolder.at(folder).spec
        if spec.name in files:
            folders.clear()
            with suppress(OSError):
                if spec.stat().st_uid == os.getuid():
                    yield folder
        elif len(folder.relative_to(top).parts) >= _DEPTH:
            folders.clear()
        else:
            folders[:] = [each for each in folders if not each.startswith(".")]


def _row(root: Path) -> Mapping[str, object]:
    row: dict[str, object] = {"folder": str(root), "status": "unreadable", "jobs": 0}
    row |= {"n_learners": 0, "n_done": 0, "n_failed": 0, "changed": ""}
    with suppress(RunFolderError, OSError):
        view = FolderView(root)
        info = view.info()
        row |= {
            "status": info.status,
            "jobs": info.jobs_running + info.jobs_pending,
            "n_learners": info.n_learners,
            "n_done": info.n_done,
            "n_failed": info.n_failed,
            "changed": stamp_of(view.folder.journal.stat().st_mtime)[: -len(":00")],
        }
    return row


# Logs.


def do_logs(options: argparse.Namespace) -> None:
    """Show the ends of logs and output."""
    view = FolderView(options.folder)
    rows, n_left_out = _chosen(view, options)
    files = (path for row in rows for path in (row.output, row.log) if path is not None)
    read: dict[Path, Position] = {}
    for path in dict.fromkeys(files):
        if options.follow:
            read[path] = view.log_lines(path).position  # what is there already
        if text := last_lines(path, options.lines):
            print(f"==> {path}\n{text}\n", flush=True)
    if n_left_out:
        print(f"{n_left_out} further jobs: choose with --learner or --failed.")
    if options.follow:
        _follow(view, read)


def _chosen(view: RunView, options: argparse.Namespace) -> tuple[list[LearnerRow], int]:
    """Return the learners whose jobs are shown, failed ones first, and how many are left out."""
    wanted = options.learner
    rows = view.rows().rows if wanted is None else [view.learner(wanted)]
    rows = [row for row in rows if row.job_id and (row.fails or not options.failed)]
    rows.sort(key=lambda row: (not row.fails, -(row.started or 0.0), row.index))
    is_chosen = options.failed or wanted is not None
    shown = len(rows) if is_chosen else _JOBS_SHOWN
    return rows[:shown], len(rows[shown:])


def _follow(view: RunView, read: dict[Path, Position]) -> None:
    shown: Path | None = None
    is_over = False
    while not is_over:
        is_over = view.info().status != "running"  # asked first: the last lines are shown, too
        for path, position in read.items():
            new = view.log_lines(path, position)
            read[path] = new.position
            for line in new.lines:
                print(line if path == shown else f"==> {path}\n{line}", flush=True)
                shown = path
        if not is_over:
            time.sleep(_INTERVAL)


# Commands that change a run.


def do_cancel(options: argparse.Namespace) -> None:
    """Do what the command says with a run, or with some of its learners."""
    from adaptive_scheduler.server_support.remote import command_run

    folder, learners = options.folder, options.learner
    print(command_run(folder, options.command, learners, moved=options.moved))


do_pause = do_resume = do_retry = do_cancel


def do_attach(options: argparse.Namespace) -> None:
    """Manage a run until it is over; exit with 1 if it fails."""
    from adaptive_scheduler.server_support.run_manager import RunManager

    run = RunManager.attach(
        options.folder, take_over=options.take_over, trust=options.trust, moved=options.moved
    )
    if not run.is_started:
        if manager := run.view.info().manager:
            raise RunFolderLockedError(
                f"The run is managed by {manager}. Look at it: adaptive-scheduler status --watch"
            )
        if not options.again:
            what = f"The run is {run.status()}."
            if run.spec.standing is Standing.COPIED:
                what = f"This is a copy of the run in '{run.spec.recorded_root}'."
            print(f"{what} Say --again to go on with it.")
            return
        run.start()
    run.wait(quiet=False)
