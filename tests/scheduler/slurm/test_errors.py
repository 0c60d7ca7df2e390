"""What sbatch says is doubt or refusal. All but that of a failed lookup were seen."""

from __future__ import annotations

import pytest

from adaptive_scheduler.errors import SchedulerUnavailableError, SubmissionRejectedError
from adaptive_scheduler.scheduler import SLURM
from adaptive_scheduler.scheduler.command import Finished
from tests.scheduler.slurm.test_arrays import batch_of

FAILED = "sbatch: error: Batch job submission failed: "
LOOKUP = "sbatch: error: resolve_ctls_from_dns_srv: res_nsearch error: "
NO_CONFIGURATION = "sbatch: fatal: Could not establish a configuration source"
DOUBTFUL = [
    f"{FAILED}Socket timed out on send/recv operation",
    f"{FAILED}Unable to contact slurm controller (connect failure)",
    f"{FAILED}Resource temporarily unavailable",
    f"{LOOKUP}Host name lookup failure\n{NO_CONFIGURATION}",
    f"sbatch: error: If munged is up, restart it\n{FAILED}Protocol authentication error",
]
REFUSED = {
    "sbatch: error: invalid partition specified: nix\n"
    f"{FAILED}Invalid partition name specified": "slurm_partitions()",
    "sbatch: error: Memory specification can not be satisfied\n"
    f"{FAILED}Requested node configuration is not available": "sinfo --Node --long",
    f"{FAILED}Invalid account or account/partition combination specified": "account=",
    f"{FAILED}Invalid qos specification": "qos=",
    "sbatch: error: AssocMaxSubmitJobLimit\n"
    f"{FAILED}Job violates accounting/QOS policy (job submit limit, user's size and/or time "
    "limits)": "max_simultaneous_jobs",
    f"{FAILED}Invalid job array specification": "",
    f"{FAILED}Invalid feature specification": "constraint=",
    "sbatch: error: Invalid generic resource (gres) specification": "gres=",
    f"{LOOKUP}Unknown host\n{NO_CONFIGURATION}": "has the configuration",
    "sbatch: unrecognized option '--nosuch'": "extra_scheduler",
    f"{FAILED}Something nobody has heard of": "",
}


def failure(words):
    batch = batch_of(0, 1, cores=3, partition="gpu")
    return SLURM(cores=1).failure_of(Finished(["sbatch"], 1, "", f"{words}\n"), batch)


@pytest.mark.parametrize("words", DOUBTFUL)
def test_words_after_which_jobs_may_exist(words):
    error = failure(words)
    assert isinstance(error, SchedulerUnavailableError)
    assert all(line in str(error) for line in words.splitlines())


@pytest.mark.parametrize(("words", "hint"), REFUSED.items())
def test_words_after_which_no_job_exists(words, hint):
    error = failure(words)
    assert isinstance(error, SubmissionRejectedError)
    said = str(error)
    assert said.startswith("sbatch refused the jobs of 'sweep' (2 jobs, 3 cores each, partition")
    assert all(f"    {line}\n" in said for line in words.splitlines())
    assert "Script: /scripts/0.sbatch." in said
    assert hint in said
