"""The command that finds out whether runs will work here: checks of a site, and what to do."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import resource
import secrets
import shutil
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from adaptive_scheduler._common.formatting import size
from adaptive_scheduler.cli.examination import environment, examine, leave_marker
from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    InvalidInputError,
    SubmissionRejectedError,
)
from adaptive_scheduler.scheduler import BaseScheduler
from adaptive_scheduler.scheduler.registry import default_kind, scheduler_class

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.run_manager import RunManager

#: Bytes that should be free where runs and their data are.
_ROOM = 1 << 30
#: Folders that each machine has for itself, as a rule.
_OF_ONE_MACHINE = ("/tmp", "/var/tmp", "/dev/shm", "/run")  # noqa: S108  that is what is wrong with them
#: Open files of a manager beside the connections of its jobs.
_FILES_OF_ITS_OWN = 100
#: Seconds by which clocks may differ.
_SKEW = 30.0
#: Seconds that the queue may take to answer.
_SLOW = 5.0


@dataclass(frozen=True)
class Finding:
    """What a check has found.

    Attributes
    ----------
    subject
        What was looked at.
    verdict
        Whether that is well, worth knowing, or keeps runs from working.
    words
        What was seen.
    advice
        What to do about it.
    """

    subject: str
    verdict: Literal["good", "note", "bad"]
    words: str
    advice: str = ""


def check_queue(scheduler: BaseScheduler) -> Iterator[Finding]:
    """Check whether the scheduler answers."""
    begun = time.monotonic()
    try:
        n_jobs = len(scheduler.queue())
    except AdaptiveSchedulerError as error:
        yield Finding(
            "queue",
            "bad",
            str(error),
            f"Try `{scheduler.submit_cmd}` by hand here. Where there is another scheduler, set "
            "SCHEDULER_SYSTEM to SLURM, PBS or LOCAL, or say --scheduler.",
        )
        return
    took = time.monotonic() - begun
    words = f"{type(scheduler).__name__} answers in {took:.2f} s; {n_jobs} jobs of yours"
    if took > _SLOW:
        advice = "Use a longer `job_manager_interval`, so that it is asked less often."
        yield Finding("queue", "note", words, advice)
    else:
        yield Finding("queue", "good", words)


def check_limits(scheduler: BaseScheduler) -> Iterator[Finding]:
    """Tell what a site allows."""
    try:
        limits = scheduler.describe_site()
    except AdaptiveSchedulerError as error:
        yield Finding("limits", "note", f"They can't be read: {error}")
    else:
        yield Finding("limits", "good", "\n".join(limits))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    n_files = hard if hard != resource.RLIM_INFINITY else soft
    n_jobs = max(0, n_files - _FILES_OF_ITS_OWN)
    yield Finding(
        "open files",
        "good",
        f"{n_files:,} in one process: {n_jobs:,} jobs can be connected; others compute unheard, "
        "and report when there is room",
    )


def check_folder(folder: Path, *, is_local: bool) -> Iterator[Finding]:
    """Check whether runs can keep their files in a folder."""
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield Finding(
            "folder",
            "bad",
            f"You can't write in '{folder}'.",
            "Start runs in a folder of yours, or say `folder=...`.",
        )
        return
    free = shutil.disk_usage(folder).free
    words = f"'{folder}' has {size(free)} of room"
    alone = [f for f in _OF_ONE_MACHINE if folder.is_relative_to(f)]
    if free < _ROOM:
        yield Finding("folder", "note", words, "Make room: jobs can't save to a full disk.")
    elif alone and not is_local:
        advice = f"Each node has a '{alone[0]}' of its own, as a rule: use a folder that all share."
        yield Finding("folder", "note", words, advice)
    else:
        yield Finding("folder", "good", words)


def check_locks(folder: Path) -> Iterator[Finding]:
    """Check whether one manager can keep others out of a folder."""
    path = folder / "lock-of-the-doctor"
    try:
        with path.open("wb") as first, path.open("wb") as second:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield Finding("locks", "good", "one manager keeps others out")
                return
        words = "Two locks of the same file were granted."
    except OSError as error:
        words = f"Files can't be locked: {error}."
    finally:
        path.unlink(missing_ok=True)
    advice = "Two managers could work in one run folder unnoticed: use another file system."
    yield Finding("locks", "bad", words, advice)


def check_report(report: dict[str, Any], *, marker: str, folder: Path) -> Iterator[Finding]:
    """Judge what a job has found out on its node."""
    here = environment()
    if report["marker"] == marker:
        yield Finding("shared folder", "good", f"{report['host']} sees it as this host does")
    else:
        yield Finding(
            "shared folder",
            "bad",
            f"{report['host']} does not see what was just written into '{folder}'.",
            "Start runs in a folder that this host and all nodes share.",
        )
    yield from _check_addresses(report)
    yield from _check_python(report, here)
    skew = report["time"] - time.time()
    if abs(skew) > _SKEW:
        words = f"The clock of {report['host']} differs from this one by {skew:.0f} s."
        yield Finding("clock", "note", words, "Goals that are times are reached at another time.")


def _check_addresses(report: dict[str, Any]) -> Iterator[Finding]:
    reached = [address for address, error in report["addresses"].items() if not error]
    if reached:
        yield Finding("connection", "good", f"{report['host']} reaches this host at {reached[0]}")
        return
    tried = "; ".join(f"{address}: {error}" for address, error in report["addresses"].items())
    yield Finding(
        "connection",
        "note",
        f"{report['host']} does not reach this host ({tried or 'it knows no address'}).",
        "Jobs find learners and report through files instead, slowly, and show no progress. Ask "
        "which interface the nodes reach, or which ports are open: `url='tcp://host:port'`.",
    )


def _check_python(report: dict[str, Any], here: dict[str, Any]) -> Iterator[Finding]:
    others = [
        f"{name} {report['packages'][name]} there and {expected} here"
        for name, expected in here["packages"].items()
        if report["packages"][name] != expected
    ]
    if report["python"] != here["python"]:
        others.insert(0, f"Python {report['python']} there and {here['python']} here")
    if others:
        advice = (
            "Learners are pickled here and unpickled there: use the same environment, in a folder "
            "that all share, or say `python_executable=...`."
        )
        yield Finding("python", "bad", "; ".join(others), advice)
    else:
        yield Finding("python", "good", f"{report['python']}, {report['executable']}")


#: How each verdict is shown.
_MARKS = {"good": "ok  ", "note": "note", "bad": "BAD "}
_WIDTH = 80
#: Seconds that a job gets to end that is cancelled because it came too late.
_LAST_JOBS_PATIENCE = 60.0


def do_doctor(options: argparse.Namespace) -> int:
    """Check the site; the exit code is 1 if anything keeps runs from working."""
    findings = []
    for finding in examine_site(options):
        findings.append(finding)
        if not options.json:
            print(_as_text(finding), flush=True)
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings]))
    return int(any(finding.verdict == "bad" for finding in findings))


def examine_site(options: argparse.Namespace) -> Iterator[Finding]:
    """Yield what the checks find, one after the other."""
    folder = options.folder.expanduser().absolute()
    scheduler = _scheduler(options)
    findings = [
        *check_queue(scheduler),
        *check_folder(folder, is_local=scheduler.is_local),
    ]
    yield from findings
    if any(finding.verdict == "bad" for finding in findings):
        return
    yield from check_limits(scheduler)
    yield from check_locks(folder)
    if not options.no_job:
        yield from _check_job(scheduler, folder, options.timeout)


def _scheduler(options: argparse.Namespace) -> BaseScheduler:
    kind = scheduler_class(options.scheduler.lower()) if options.scheduler else default_kind()
    requested: dict[str, Any] = {"time": options.time}
    if options.partition is not None:
        requested[kind.names_of_slurm.get("partition", "partition")] = options.partition
    try:
        return kind(cores=options.cores, **requested)
    except TypeError as error:
        raise AdaptiveSchedulerError(f"{error}") from error


def _check_job(scheduler: BaseScheduler, folder: Path, timeout: float) -> Iterator[Finding]:
    """Let a job look around on its node, and judge what it tells."""
    place = Path(tempfile.mkdtemp(prefix="doctor-", dir=folder))
    marker = secrets.token_hex()
    leave_marker(place, marker)
    run = _tiny_run(scheduler, place)
    begun = time.monotonic()
    try:
        run.start()
        run.wait(timeout)
    except TimeoutError:
        yield _late(run, timeout)
    except (InvalidInputError, SubmissionRejectedError) as error:
        advice = "Ask for something else, with --cores, --partition or --time; so must runs."
        yield Finding("job", "bad", str(error), advice)
    except AdaptiveSchedulerError as error:
        yield Finding(
            "job",
            "bad",
            str(error),
            f"Its files are in '{place}'. A job that ends before it says anything often does not "
            "see this folder, or can't start this Python.",
        )
        return
    else:
        run.load_learners()
        (report,) = run.learners[0].data.values()
        pending = sum(run.job_starting_times())
        words = (
            f"came back from {report['host']} after {time.monotonic() - begun:.1f} s, of which "
            f"{pending:.1f} s in the queue"
        )
        yield Finding("job", "good", words)
        yield from check_report(report, marker=marker, folder=folder)
    finally:
        with suppress(AdaptiveSchedulerError, TimeoutError):
            run.cancel()
            run.wait(_LAST_JOBS_PATIENCE)
    shutil.rmtree(place, ignore_errors=True)


def _tiny_run(scheduler: BaseScheduler, place: Path) -> RunManager:
    from adaptive import SequenceLearner

    from adaptive_scheduler.server_support.run_manager import RunManager

    return RunManager(
        scheduler,
        [SequenceLearner(partial(_examine, folder=str(place)), [0])],
        [place / "report.pickle"],
        job_name="doctor",
        folder=place / "doctor-run",
        job_manager_interval=5,
        max_fails_per_job=1,
        quiet=True,
    )


def _examine(x: int, folder: str) -> dict[str, Any]:
    del x  # the only point of a learner
    return examine(folder)


def _late(run: RunManager, timeout: float) -> Finding:
    info = run.view.info()
    reasons = ", ".join(info.pending_reasons) or "no reason is known"
    if info.jobs_pending:
        words = f"It was still in the queue after {timeout:g} s: {reasons}."
        advice = "Wait longer (--timeout), ask for less, or for another --partition."
        return Finding("job", "note", words, advice)
    words = f"It ran, but was not done after {timeout:g} s."
    advice = f"Look at its output: adaptive-scheduler logs '{run.run_folder.root}'"
    return Finding("job", "bad", words, advice)


def _as_text(finding: Finding) -> str:
    first, *others = finding.words.splitlines()
    indent = " " * len(_MARKS[finding.verdict])
    lines = _wrapped(f"{_MARKS[finding.verdict]}  {finding.subject}: {first}", "", indent)
    for words in others:
        lines += _wrapped(words.strip(), f"{indent}  ", indent)
    if finding.advice:
        lines += _wrapped(f"-> {finding.advice}", f"{indent}  ", f"{indent}   ")
    return "\n".join(lines)


def _wrapped(words: str, first_indent: str, indent: str) -> list[str]:
    return textwrap.wrap(
        words,
        _WIDTH,
        initial_indent=first_indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
    )
