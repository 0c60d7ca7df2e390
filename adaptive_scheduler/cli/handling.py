"""Commands that change a run."""

from __future__ import annotations

import argparse

from adaptive_scheduler.errors import RunFolderLockedError
from adaptive_scheduler.server_support.remote import cancel_from_outside, look_at
from adaptive_scheduler.server_support.steering import steer_from_outside


def do_cancel(options: argparse.Namespace) -> None:
    """Cancel a run, or some of its learners."""
    if options.learner:
        print(steer_from_outside(options.folder, "cancel", options.learner))
    else:
        print(cancel_from_outside(options.folder))


def do_pause(options: argparse.Namespace) -> None:
    """Have no new jobs submitted."""
    print(steer_from_outside(options.folder, "pause"))


def do_resume(options: argparse.Namespace) -> None:
    """Have jobs submitted again."""
    print(steer_from_outside(options.folder, "resume"))


def do_retry(options: argparse.Namespace) -> None:
    """Have learners tried again that were given up."""
    print(steer_from_outside(options.folder, "retry", options.learner))


def do_attach(options: argparse.Namespace) -> None:
    """Manage a run until it is over; exit with 1 if it fails."""
    from adaptive_scheduler.server_support.run_manager import RunManager

    run = RunManager.attach(options.folder, take_over=options.take_over, trust=options.trust)
    if not run.is_started:
        holder = look_at(options.folder).holder
        if holder is not None:
            raise RunFolderLockedError(
                f"The run is managed by {holder}. Look at it: adaptive-scheduler status --watch"
            )
        if not options.again:
            print(f"The run is {run.status()}. Say --again to go on with it.")
            return
        run.start()
    run.quiet = False
    run.wait()
