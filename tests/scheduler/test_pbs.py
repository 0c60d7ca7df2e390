"""`PBS` runs jobs, on a PBS that answers as the real one does."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager

import pytest

from adaptive_scheduler.scheduler import PBS, pbs_client
from tests.scheduler.contract import SchedulerContract, alive, exists
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
            patch.setattr(pbs_client, "TIMEOUT", 1.0)
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

    def test_a_job_that_does_not_want_to_end_is_killed(self, site, running):
        # Its shell ends at SIGTERM, and that is the exit status that PBS keeps.
        scheduler = site.scheduler(kill_wait=0.5)
        (job_id,) = running("trap '' TERM", using=scheduler)
        scheduler.cancel_ids([job_id])
        wait_until(lambda: job_id not in alive(scheduler))
        assert "CANCELLED" in str(scheduler.ends([job_id])[job_id])

    @pytest.mark.parametrize("how", ["cancel", "kill the main process"])
    def test_workers_end_with_their_job(self, site, running, how):
        # PBS knows the processes of a job by their session, where it has no cgroups.
        scheduler = site.scheduler(kill_wait=0.5)
        script = """
            note() { echo $BASHPID >> pids; }
            (note; exec sleep 1000) &
            (note; exec nohup sleep 1000) > /dev/null 2>&1 &
            (note; trap '' TERM; until [ -e never ]; do sleep 0.05; done) &
            echo $$ > main
            until [ $(wc -l < pids) = 3 ]; do sleep 0.05; done
        """
        (job_id,) = running(script, using=scheduler)
        workers = [int(pid) for pid in (site.folder / "pids").read_text().split()]
        assert all(map(exists, workers))
        if how == "cancel":
            scheduler.cancel_ids([job_id])
        else:
            os.kill(int((site.folder / "main").read_text()), signal.SIGKILL)
        wait_until(lambda: job_id not in alive(scheduler))
        wait_until(lambda: not any(map(exists, workers)))

    def test_jobs_that_wait_can_be_cancelled(self, site, scheduler, submit, running):
        running(n=site.n_cores)
        waiting = submit("touch started", 50)
        scheduler.cancel_ids(waiting)
        wait_until(lambda: not set(waiting) & alive(scheduler))
        (site.folder / "go").touch()
        wait_until(lambda: not alive(scheduler))
        assert not (site.folder / "started").exists()
        # PBS keeps nothing of members of an array that were deleted before they began.
        assert {end.state for end in scheduler.ends(waiting).values()} <= {"CANCELLED"}
