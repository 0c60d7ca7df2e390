"""Why a run has stopped, on one screen: what failed, where, and what to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from adaptive_scheduler._common.formatting import first_of
from adaptive_scheduler.learners.paths import FnameTypes, fname_to_str

if TYPE_CHECKING:
    from adaptive_scheduler.run_folder.layout import RunFolder
    from adaptive_scheduler.run_folder.models import LearnerEntry

#: Lines of a traceback or an output that are shown: its end says most.
_LINES_SHOWN = 25
#: Causes that are listed, and characters of each.
_CAUSES_SHOWN = 3
_CAUSE_LENGTH = 100
#: Learners that are named for each cause.
_LEARNERS_SHOWN = 8


def given_up_report(
    job_name: str, folder: RunFolder, failed: Sequence[LearnerEntry], fnames: Sequence[FnameTypes]
) -> str:
    """Return why learners were given up, and with them the run.

    Parameters
    ----------
    job_name, folder
        Which run.
    failed
        The learners that were given up.
    fnames
        The data files of all learners.
    """
    worst = max(failed, key=lambda entry: (entry.fails, entry.ended or 0.0))
    were = "were" if len(failed) > 1 else "was"
    name = fname_to_str(fnames[worst.index])
    lines = [
        f"Run '{job_name}' has failed: {len(failed)} of {len(fnames)} learners {were} given up.",
        *_causes(failed),
        "",
        f"Learner {worst.index} ('{name}') failed {worst.fails} times, at last {_where(worst)}:",
        f"  {worst.error}",
        *_story(worst, folder),
        "",
        f"See more: adaptive-scheduler logs {folder.root} --learner {worst.index}",
        "All points are saved. Mend the cause, then start the run again, or call `retry()`.",
    ]
    return "\n".join(lines)


def failed_starts_report(
    job_name: str, folder: RunFolder, n_failed: int, last: LearnerEntry
) -> str:
    """Return why no job has got as far as asking for a learner.

    Parameters
    ----------
    job_name, folder
        Which run.
    n_failed
        Jobs that have ended in a row.
    last
        The learner for which the last of them was submitted.
    """
    lines = [
        f"Run '{job_name}' has failed: {n_failed} jobs in a row ended before they did anything.",
        f"  {last.error}",
        *_story(last, folder),
        f"Job scripts: {folder.scripts}",
        "",
        "Mend the cause, then start the run again.",
    ]
    return "\n".join(lines)


def _causes(failed: Sequence[LearnerEntry]) -> list[str]:
    """Return a line for each cause, if there are several."""
    by_cause: dict[str, list[int]] = defaultdict(list)
    for entry in failed:
        by_cause[entry.error[:_CAUSE_LENGTH]].append(entry.index)
    if len(by_cause) == 1:
        return []
    most_common = sorted(by_cause.items(), key=lambda item: -len(item[1]))
    lines = [f"  {_named(indices)}: {cause}" for cause, indices in most_common[:_CAUSES_SHOWN]]
    n_more = len(by_cause) - _CAUSES_SHOWN
    return lines + ([f"  ... and {n_more} other causes"] if n_more > 0 else [])


def _named(indices: Sequence[int]) -> str:
    return f"learners {first_of([str(index) for index in indices], _LEARNERS_SHOWN)}"


def _where(entry: LearnerEntry) -> str:
    """Return in which job a learner failed last, on which host, and when."""
    parts = [
        "" if entry.job is None else f"in job {entry.job_name} (id {entry.job})",
        f"on {entry.host}" if entry.host else "",
        "" if entry.ended is None else f"at {datetime.fromtimestamp(entry.ended):%H:%M:%S}",  # noqa: DTZ006  shown to people
    ]
    return " ".join(part for part in parts if part)


def _story(entry: LearnerEntry, folder: RunFolder) -> list[str]:
    """Return the end of the traceback or the output, and where the rest is."""
    told = entry.traceback.rstrip().splitlines()
    lines = []
    if len(told) > _LINES_SHOWN:
        lines.append(f"  ... ({len(told) - _LINES_SHOWN} lines before)")
    lines += [f"  {line}" for line in told[-_LINES_SHOWN:]] or ["  (it has printed nothing)"]
    if entry.job is None:
        return [*lines, f"Logs: {folder.logs}"]
    log = folder.log_now(entry.log_fname, entry.job_name, entry.job.job_id)
    output = folder.output_of(entry.job_name, entry.job.job_id)
    return [*lines, f"Log: {log or ''}", f"Output: {output}"]
