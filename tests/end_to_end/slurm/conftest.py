"""Fixtures for runs on the Slurm cluster of the tests."""

from __future__ import annotations

import adaptive
import pytest

from adaptive_scheduler.scheduler import SLURM
from tests.end_to_end.ledger import Noted
from tests.end_to_end.looking import said
from tests.end_to_end.slurm.checks import FREE, N_POINTS
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def cluster(slurm):
    return slurm


@pytest.fixture
def sequence(ledger, gate):
    """Return a learner whose evaluations wait at the gate after the first `FREE` ones."""
    return adaptive.SequenceLearner(Noted(ledger.path, free=FREE, gate=gate), list(range(N_POINTS)))


@pytest.fixture
def start(cluster, make_run):
    """Return a function that starts a run with Slurm."""

    def start(learners, fnames=None, *, scheduler=None, **keywords):
        scheduler = scheduler or SLURM(cores=2, signal_before_end=0)
        scheduler.min_poll_interval = 0.5
        run = make_run(learners, fnames, scheduler=scheduler, **keywords)
        run.start()
        return run

    return start


@pytest.fixture
def stopped(start, ledger, sequence):
    """Return a function that starts a run and waits until all workers of its job wait."""

    def start_and_wait(n_workers=2, **keywords):
        run = start([sequence], log_interval=0.2, **keywords)
        wait_until(lambda: len(ledger.begun()) >= FREE + n_workers)
        # What has been evaluated may still be on its way to the job.
        wait_until(lambda: len(ledger.points(0)) in {e["npoints"] for e in said("current status")})
        return run

    return start_and_wait
