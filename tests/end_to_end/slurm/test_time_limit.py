"""Three minutes of work for two cores, in jobs that may take one minute each."""

from __future__ import annotations

import threading

import adaptive
import pytest

from adaptive_scheduler.run_folder import events
from adaptive_scheduler.scheduler import SLURM
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import records
from tests.end_to_end.slurm.checks import NEVER, check_that_all_is_well
from tests.waiting import PATIENCE


@pytest.mark.parametrize(("warning", "told_by"), [(None, "SIGUSR1"), (0, "SIGTERM")])
def test_work_for_three_minutes_in_jobs_of_one_minute(start, ledger, warning, told_by):
    learner = adaptive.SequenceLearner(Noted(ledger.path, function=slowly), list(range(720)))
    scheduler = SLURM(cores=2, time="00:01:00", signal_before_end=warning)
    run = start([learner], scheduler=scheduler, save_interval=NEVER)
    run.wait(timeout=PATIENCE)
    n_jobs = len(ledger.jobs())
    assert n_jobs >= 3
    check_that_all_is_well(run, ledger, twice=2 * (n_jobs - 1))  # what was evaluated at the signal
    assert records(events.Failed) == []
    assert {r.reason for r in records(events.Released)} == {f"The job got {told_by}."}


def slowly(x):
    threading.Event().wait(0.5)
    return x
