"""What jobs keep on disk for their workers, as long as they run: a folder each, in the run folder.

A job removes its own. That of a job which was killed is removed by the manager.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME = "scratch"
#: How often a folder is made again that has lost the one that it is in.
_TRIES = 10


def scratch_of(run_folder: Path, job_id: str) -> Path:
    """Return the folder of a job; it need not exist."""
    return run_folder / _NAME / job_id


@contextmanager
def temporary_folder(scratch: Path) -> Iterator[Path]:
    """Make a folder in that of a job, and remove both in the end."""
    _make(scratch)
    try:
        yield Path(tempfile.mkdtemp(dir=scratch))
    finally:
        remove_scratch(scratch)


def _make(scratch: Path) -> None:
    for _ in range(_TRIES):
        with suppress(FileNotFoundError):  # another job has just removed the folder of all
            scratch.parent.mkdir(mode=0o700, exist_ok=True)  # a run folder that is gone stays so
            scratch.mkdir(mode=0o700, exist_ok=True)
            return
    raise FileNotFoundError(errno.ENOENT, "the run folder is gone", str(scratch))


def remove_scratch(scratch: Path) -> None:
    """Remove the folder of a job, and the one that has those of all jobs, if it was the last."""
    shutil.rmtree(scratch, ignore_errors=True)
    with suppress(OSError):  # another job uses it
        scratch.parent.rmdir()


def remove_scratch_of(run_folder: Path, job_ids: Iterable[str]) -> None:
    """Remove the folders of jobs that are gone."""
    if (run_folder / _NAME).is_dir():  # few executors need any
        for job_id in job_ids:
            remove_scratch(scratch_of(run_folder, job_id))


def remove_all_scratch(run_folder: Path) -> None:
    """Remove the folders of all jobs of a run that is over."""
    shutil.rmtree(run_folder / _NAME, ignore_errors=True)
