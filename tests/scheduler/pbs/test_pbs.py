"""`PBS` runs jobs, on a PBS that answers as the real one does."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from adaptive_scheduler.scheduler import PBS
from adaptive_scheduler.scheduler.command import Commands
from tests.scheduler.contract import IN_ITS_SESSION, SchedulerContract, alive
from tests.waiting import wait_until


class PbsSite:
    n_cores = 2
    odd_job_names = ("it's $HOME `pwd` π-数据", 'new\nline "a|b" %x', "-starts with a dash")
    import_line = "from adaptive_scheduler.scheduler import PBS\ns = PBS(cores=1)"

    def __init__(self, fake, folder, monkeypatch):
        self.fake = fake
        self.folder = folder
        self.monkeypatch = monkeypatch

    def scheduler(self, kill_wait=None, **keywords):
        if kill_wait is not None:
            self.fake.set(kill_delay=kill_wait)
        return PBS(**{"cores": 1, "signal_before_end": 0} | keywords)

    @contextmanager
    def hung(self):
        with self.monkeypatch.context() as patch, self.fake.hung():
            patch.setattr(Commands, "timeout", 1.0)
            yield

    @contextmanager
    def killed(self):
        with self.fake.down():
            yield


@pytest.fixture
def site(pbs, tmp_path, monkeypatch):
    return PbsSite(pbs, tmp_path / "work", monkeypatch)


class TestPBS(SchedulerContract):
    """What differs is PBS's own way."""

    # PBS knows the processes of a job by their session, where it has no cgroups.
    workers = IN_ITS_SESSION
    forgets_what_never_began = True

    def test_a_job_that_does_not_want_to_end_is_killed(self, site, running):
        # Its shell ends at SIGTERM, and that is the exit status that PBS keeps.
        scheduler = site.scheduler(kill_wait=0.5)
        (job_id,) = running("trap '' TERM", using=scheduler)
        scheduler.cancel_ids([job_id])
        wait_until(lambda: job_id not in alive(scheduler))
        assert "CANCELLED" in str(scheduler.ends([job_id])[job_id])
