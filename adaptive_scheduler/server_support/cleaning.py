"""What a run leaves behind, and how to put it away."""

from __future__ import annotations

import re
import shutil
from collections.abc import Container, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler._common.progress import tracked
from adaptive_scheduler.errors import InvalidInputError

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.layout import RunFolder
    from adaptive_scheduler.scheduler.base import BaseScheduler


#: An id begins with a number. Were it followed by a dash, that would be another run's job.
_JOB_ID = r"\d+(?![\d-]).*"


def put_logs_away(folder: RunFolder, job_name: str, script_ending: str) -> int:
    """Move the logs and scripts of ended jobs to the folder for old logs, or delete them.

    Users may keep other things, and other runs, in the folders for these.

    Parameters
    ----------
    folder
        The run folder.
    job_name
        What the names of the jobs begin with.
    script_ending
        What the names of scripts end in.

    Returns
    -------
    int
        How many files there were.
    """
    found = {path for path in _files(folder.logs) if _is_log(path.name, job_name)}
    scripts = _files(folder.scripts)
    found |= {path for path in scripts if _is_script(path.name, job_name, script_ending)}
    _move_or_delete(sorted(found), folder.old_logs)
    return len(found)


def remove_old_logs(folder: Path, job_name: str, script_ending: str) -> None:
    """Delete what `put_logs_away` has moved to a folder, and the folder if that empties it.

    Parameters
    ----------
    folder
        The folder for old logs.
    job_name, script_ending
        As for `put_logs_away`.
    """
    for path in _files(folder):
        if _is_log(path.name, job_name) or _is_script(path.name, job_name, script_ending):
            path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _is_log(name: str, job_name: str) -> bool:
    return re.fullmatch(rf"{re.escape(job_name)}-\d+-{_JOB_ID}\.(log|out)", name) is not None


def _is_script(name: str, job_name: str, ending: str) -> bool:
    return re.fullmatch(rf"{re.escape(job_name)}-\d+{re.escape(ending)}", name) is not None


def cleanup_scheduler_files(
    job_names: Sequence[str],
    scheduler: BaseScheduler,
    *,
    with_progress_bar: bool = True,
    move_to: str | Path | None = None,
) -> None:
    """Move or delete the scripts and logs of jobs, where `scheduler` puts them.

    Parameters
    ----------
    job_names
        Names of jobs that have ended.
    scheduler
        Where they ran.
    with_progress_bar
        Show how many files are left.
    move_to
        Where to move them; None deletes them.
    """
    folders = {Path(scheduler.log_folder or "."), Path(scheduler.batch_folder or ".")}
    files = {path for folder in folders for path in _files(folder)}
    names, scripts = set(job_names), {f"{name}{scheduler.ext}" for name in job_names}
    found = [f for f in sorted(files) if f.name in scripts or _is_log_of(f, names)]
    for path in tracked(found, "Cleaning up", shown=with_progress_bar):
        _move_or_delete([path], None if move_to is None else Path(move_to))


def _is_log_of(path: Path, job_names: Container[str]) -> bool:
    """Whether a file is a log of one of these jobs."""
    if path.suffix not in (".log", ".out", ".err"):
        return False
    cuts = (dash.span() for dash in re.finditer("-", path.stem))
    return path.stem in job_names or any(
        path.stem[:start] in job_names and re.fullmatch(_JOB_ID, path.stem[end:])
        for start, end in cuts
    )


def move_aside(paths: Sequence[Path], folder: Path | None) -> list[Path]:
    """Move data files out of the way, never over others.

    Parameters
    ----------
    paths
        Files that may exist.
    folder
        Where to; None deletes them.

    Returns
    -------
    list of Path
        The files that existed.

    Raises
    ------
    InvalidInputError
        If a file of that name is there already; nothing was moved then.
    """
    there = [path for path in paths if path.exists()]
    if folder is not None:
        if taken := [folder / path.name for path in there if (folder / path.name).exists()]:
            raise InvalidInputError(
                f"'{taken[0]}' exists already. Name another folder with `move_to=...`."
            )
        if len({path.name for path in there}) < len(there):
            raise InvalidInputError(
                "Some data files have the same name in different folders, so they can't be "
                "moved into one."
            )
    _move_or_delete(there, folder)
    return there


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*") if path.is_file()] if folder.is_dir() else []


def _move_or_delete(paths: Sequence[Path], folder: Path | None) -> None:
    if folder is None:
        for path in paths:
            path.unlink(missing_ok=True)
        return
    if paths:
        folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        shutil.move(path, folder / path.name)
