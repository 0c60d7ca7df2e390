"""What tests look at: data files, journals, processes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import adaptive
import psutil

from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import read_journal
from adaptive_scheduler.scheduler import Local
from tests.cluster.processes import is_alive, send
from tests.end_to_end.sites import Site
from tests.waiting import wait_until
from tests.whole_lines import whole_lines

__all__ = [
    "family",
    "is_alive",
    "loaded",
    "most_at_once",
    "points",
    "processes_in",
    "records",
    "said",
    "saved_points",
    "send",
    "wait_for_empty_queue",
]


def points(learner: Any) -> set[Any]:
    """Return the points at which a learner of any type knows its function."""
    if isinstance(learner, adaptive.DataSaver):
        return points(learner.learner)
    if isinstance(learner, adaptive.AverageLearner1D):
        samples = learner._data_samples.items()
        return {(seed, x) for x, values in samples for seed in values}
    return set(learner.data)


def loaded(learner: Any, fname: str | Path) -> Any:
    """Return a learner like `learner` with what a data file holds."""
    copy = learner.new()
    copy.load(fname)
    return copy


def saved_points(learner: Any, fname: str | Path) -> set[Any]:
    """Return the points in a data file of a learner like `learner`."""
    return points(loaded(learner, fname))


def records(kind: type, journal: Path = Path("run-run/journal.jsonl")) -> list[Any]:
    """Return the records of one kind that a journal has."""
    return [record for record in read_journal(journal) if isinstance(record, kind)]


def said(event: str, folder: Path = Path("run-run/logs")) -> list[dict[str, Any]]:
    """Return the lines with an event in the logs of all jobs."""
    lines = [line for path in sorted(folder.glob("*.log")) for line in whole_lines(path)]
    return [line for line in map(json.loads, lines) if line["event"] == event]


def processes_in(folder: Path) -> list[bytes]:
    """Return the command of each process that works in a folder, but for those that wait there."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            command = each.joinpath("cmdline").read_bytes()
            is_there = each.joinpath("cwd").resolve().is_relative_to(folder)
        except OSError:
            continue
        is_ours = b"adaptive_scheduler.scheduler.local.daemon" in command
        if int(each.name) != os.getpid() and is_there and command and not is_ours:
            found.append(command)
    return found


def wait_for_empty_queue(site: Site | None = None) -> None:
    """Wait until no job is left at a site, by default on this machine."""
    wait_until(lambda: not (site or Local()).queue())


def family(pid: int) -> list[int]:
    """Return a process with all its children."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    return []


def most_at_once(journal: Path = Path("run-run/journal.jsonl")) -> int:
    """Return how many learners jobs had at the same time, at most."""
    return max(len(held) for held in _held(journal))


def _held(journal: Path) -> Iterator[set[int]]:
    held: set[int] = set()
    yield held
    for record in read_journal(journal):
        match record:
            case events.Assigned():
                held.add(record.learner)
            case events.Done() | events.Failed() | events.Released():
                held.discard(record.learner)
        yield held
