"""`PBS` runs jobs on a PBS whose commands are Torque's.

What these say is in Torque's manuals; no real one was asked.
"""

from __future__ import annotations

import pytest

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.scheduler import PBS
from tests.scheduler.contract import HOLD, alive, make_batch
from tests.scheduler.pbs.test_pbs import PbsSite
from tests.scheduler.pbs.test_pbs import TestPBS as PbsContract
from tests.waiting import wait_until


@pytest.fixture
def torque(pbs):
    pbs.set(torque=True, longest_name=15)
    return pbs


@pytest.fixture
def site(torque, tmp_path, monkeypatch):
    return PbsSite(torque, tmp_path / "work", monkeypatch)


class TestTorque(PbsContract):
    """Nothing differs."""


def test_torque_is_spoken_to_in_its_own_words(torque, tmp_path):
    scheduler = PBS(2, walltime=60, memory="1gb")
    job_ids = scheduler.submit(make_batch(scheduler, tmp_path / "work", HOLD, numbers=(1, 3)))
    assert list(job_ids) == [1, 3]
    said = " ".join(torque.calls("qsub")[-1])
    assert "-t 1,3 -S /bin/bash -r y -l nodes=1:ppn=2 -l mem=1gb -l walltime=00:01:00" in said
    assert "-k" not in said.split()
    assert "#PBS -l nodes=1:ppn=2" in scheduler.job_script()


def test_torque_forgets_jobs_that_have_ended(torque, tmp_path):
    torque.set(history=False)
    scheduler = PBS(1)
    job_ids = scheduler.submit(make_batch(scheduler, tmp_path / "work", "exit 3", n=2)).values()
    wait_until(lambda: not alive(scheduler))
    assert scheduler.ends(job_ids) == {}


def test_commands_of_pbs_that_submit_to_slurm_are_refused(torque):
    # Debian's package slurm-wlm-torque. Its jobs have neither ids of PBS nor numbers.
    qsub = torque.folder / "bin" / "qsub"
    qsub.write_text(
        "#!/bin/sh\necho 'Unknown option: version' >&2\n"
        "echo 'Usage: qsub [-a start_time] [-A account] [-b y|n] [-e err_path] [-I] [-l' >&2\n"
        "exit 2\n"
    )
    scheduler = PBS(1)
    with pytest.raises(InvalidInputError, match="SLURM"):
        scheduler.check(scheduler.resources(0))
