"""Commands that change a run."""

from __future__ import annotations

import argparse

from adaptive_scheduler.errors import RunFolderLockedError
from adaptive_scheduler.server_support.remote import command_run


def do_cancel(options: argparse.Namespace) -> None:
    """Cancel a run, or some of its learners."""
    print(command_run(options.folder, "cancel", options.learner))


def do_pause(options: argparse.Namespace) -> None:
    """Have no new jobs submitted."""
    print(command_run(options.folder, "pause"))


def do_resume(options: argparse.Namespace) -> None:
    """Have jobs submitted again."""
    print(command_run(options.folder, "resume"))


def do_retry(options: argparse.Namespace) -> None:
    """Have learners tried again that were given up."""
    print(command_run(options.folder, "retry", options.learner))


def do_attach(options: argparse.Namespace) -> None:
    """Manage a run until it is over; exit with 1 if it fails."""
    from adaptive_scheduler.server_support.run_manager import RunManager

    run = RunManager.attach(options.folder, take_over=options.take_over, trust=options.trust)
    if not run.is_started:
        if manager := run.view.info().manager:
            raise RunFolderLockedError(
                f"The run is managed by {manager}. Look at it: adaptive-scheduler status --watch"
            )
        if not options.again:
            print(f"The run is {run.status()}. Say --again to go on with it.")
            return
        run.start()
    run.quiet = False
    run.wait()
