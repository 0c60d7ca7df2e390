"""`SLURM` runs jobs on a real cluster."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from adaptive_scheduler.scheduler import SLURM
from tests.scheduler.contract import IN_ITS_SESSION, ODD_NAMES, SchedulerContract, alive
from tests.waiting import wait_until


class SlurmSite:
    n_cores = 2
    odd_job_names = ("it's $HOME `pwd` π-数据", 'new\nline "a|b" %x %j')
    import_line = (
        "from adaptive_scheduler.scheduler import SLURM\n"
        "s = SLURM(cores=1, partition='single', signal_before_end=0)"
    )

    def __init__(self, cluster, folder):
        self.cluster = cluster
        self.folder = folder

    def scheduler(self, kill_wait=None, **keywords):  # noqa: ARG002  the site sets KillWait
        return SLURM(**{"cores": 1, "partition": "single", "signal_before_end": 0} | keywords)

    @contextmanager
    def hung(self):
        with self.cluster.controller_stopped():
            yield

    @contextmanager
    def killed(self):
        with self.cluster.controller_down():
            yield


@pytest.fixture
def site(slurm, tmp_path):
    return SlurmSite(slurm, tmp_path / "work")


class TestSLURM(SchedulerContract):
    """What differs is Slurm's own way, or that of the small cluster of the tests."""

    # This cluster knows the processes of a job by their session. Real ones
    # use cgroups, from which no process gets away; that would need root.
    workers = IN_ITS_SESSION
    forgets_what_never_began = True

    @pytest.mark.parametrize("name", [name for name in ODD_NAMES if "\\" not in name])
    def test_a_folder_may_have_any_name(self, site, scheduler, submit, name):
        super().test_a_folder_may_have_any_name(site, scheduler, submit, name)

    def test_a_job_that_runs_too_long_is_ended(self, site, running):
        # The shortest time is a minute, unless an administrator says otherwise; Slurm looks
        # at the clock every thirty seconds.
        scheduler = site.scheduler(time="00:01:00")
        (job_id,) = running(using=scheduler)
        site.cluster.run("scontrol", "update", f"jobid={job_id}", "endtime=now+1")
        wait_until(lambda: job_id not in alive(scheduler))
        assert scheduler.ends([job_id])[job_id].state == "TIMEOUT"
