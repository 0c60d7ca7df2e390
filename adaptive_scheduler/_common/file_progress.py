"""Show how many of the files that a computation makes are there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from adaptive_scheduler._common.progress import bars

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["track_file_creation_progress"]

#: All files of a tuple count as one.
_Files: TypeAlias = Path | tuple[Path, ...]


def track_file_creation_progress(
    paths_dict: Mapping[str, Iterable[_Files]], interval: float = 1
) -> asyncio.Task[None]:
    """Show a progress bar for each group of files, until all files are there.

    Call it in a notebook's cell, or wherever an event loop runs.

    Parameters
    ----------
    paths_dict
        For each group, which has a name, the files. A tuple of files counts
        as one that is there when all of them are.
    interval
        How often to look, in seconds.

    Returns
    -------
    asyncio.Task
        Ends when all files are there. Cancel it to stop looking.

    Raises
    ------
    RuntimeError
        No event loop runs.
    """
    groups = {name: [_as_paths(files) for files in group] for name, group in paths_dict.items()}
    loop = asyncio.get_running_loop()
    return loop.create_task(_track(groups, interval), name="track_file_creation_progress")


async def _track(groups: dict[str, list[set[Path]]], interval: float) -> None:
    with bars() as shown:
        total = sum(len(group) for group in groups.values())
        total_bar = shown.add("Total", total) if len(groups) > 1 else None
        numbers = {name: shown.add(name, len(group)) for name, group in groups.items()}
        missing = groups
        while True:
            # In a thread, because a network file system may take its time.
            missing = await asyncio.to_thread(_still_missing, missing)
            for name, group in groups.items():
                shown.update(numbers[name], len(group) - len(missing[name]))
            n_missing = sum(len(group) for group in missing.values())
            if total_bar is not None:
                shown.update(total_bar, total - n_missing)
            if not n_missing:
                return
            await asyncio.sleep(interval)


def _still_missing(groups: dict[str, list[set[Path]]]) -> dict[str, list[set[Path]]]:
    """Return the groups without what has been seen; it counts, even if it goes away again."""
    missing = {}
    for name, group in groups.items():
        looked = [{path for path in files if not path.exists()} for files in group]
        missing[name] = [files for files in looked if files]
    return missing


def _as_paths(files: _Files | str) -> set[Path]:
    return set(files) if isinstance(files, tuple) else {Path(files)}
