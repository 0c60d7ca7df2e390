"""The command that finds out whether runs will work here."""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.cli.checks import (
    Finding,
    check_folder,
    check_limits,
    check_locks,
    check_queue,
    check_report,
)
from adaptive_scheduler.cli.examination import examine, leave_marker
from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    InvalidInputError,
    SubmissionRejectedError,
)
from adaptive_scheduler.scheduler import PBS, BaseScheduler
from adaptive_scheduler.scheduler.registry import default_kind, scheduler_class

if TYPE_CHECKING:
    from adaptive_scheduler.server_support.run_manager import RunManager

#: How each verdict is shown.
_MARKS = {"good": "ok  ", "note": "note", "bad": "BAD "}
_WIDTH = 80
#: Seconds that a job gets to end that is cancelled because it came too late.
_FAREWELL = 60.0


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
    wishes: dict[str, Any] = {"time": options.time}
    if options.partition is not None:
        wishes["queue" if issubclass(kind, PBS) else "partition"] = options.partition
    try:
        return kind(cores=options.cores, **wishes)
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
            run.wait(_FAREWELL)
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
