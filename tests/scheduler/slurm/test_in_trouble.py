"""`SLURM` on a cluster with limits, damage, and people who have rights."""

from __future__ import annotations

import os
import signal
import subprocess
import threading

import psutil
import pytest

from adaptive_scheduler.errors import (
    InvalidInputError,
    SchedulerUnavailableError,
    SubmissionRejectedError,
)
from adaptive_scheduler.scheduler import SLURM, JobEnd, slurm_partitions
from tests.cluster.slurm import ClusterConfig, temporary_cluster
from tests.scheduler.contract import alive, answer_of, make_batch
from tests.waiting import wait_until

HOLD = "until [ -e go ]; do sleep 0.05; done"


@pytest.fixture
def submit(slurm, tmp_path):
    """Return a function that submits jobs and returns their ids by number."""

    def submit(script=HOLD, n=1, *, using=None, **fields):
        scheduler = using or SLURM(cores=1)
        return scheduler.submit(make_batch(scheduler, tmp_path / "work", script, n, **fields))

    return submit


@pytest.fixture
def running(submit, tmp_path):
    """Return a function that submits a job and returns its id when its script runs."""

    def start(script=HOLD, **fields):
        mark = tmp_path / "running"
        mark.unlink(missing_ok=True)
        (job_id,) = submit(f"touch '{mark}'\n{script}", **fields).values()
        wait_until(mark.exists)
        return job_id

    return start


@pytest.fixture(scope="module")
def limited_cluster():
    """Return a cluster with small arrays that soon forgets jobs that have ended."""
    with temporary_cluster(ClusterConfig(nodes=1, max_array_size=50, min_job_age=2)) as cluster:
        yield cluster


@pytest.fixture
def limited(limited_cluster, monkeypatch):
    for name, value in limited_cluster.environment.items():
        monkeypatch.setenv(name, value)
    yield limited_cluster
    limited_cluster.renew()


def asked(scheduler):
    """Return a scheduler that has asked what the site is like."""
    scheduler.partitions, scheduler._site.array_size  # noqa: B018  each is asked for once
    return scheduler


def state_of(job_id):
    return SLURM(cores=1).queue()[job_id]["state"]


# Calls.


def test_a_thousand_jobs_are_submitted_listed_and_cancelled_in_three_calls(slurm, submit):
    scheduler = asked(SLURM(cores=1, extra_scheduler=["--hold"]))
    with slurm.counted() as calls:
        ids = submit("true", 1000, using=scheduler)
        assert len(scheduler.queue()) == 1000
        scheduler.cancel_ids(ids.values())
    assert calls == {"sbatch": 1, "squeue": 1, "scancel": 1}
    wait_until(lambda: not alive(scheduler))


@pytest.mark.system
def test_numbers_beyond_the_largest_index_make_more_arrays(limited, tmp_path):
    scheduler = SLURM(cores=1)
    me = scheduler.variables
    script = f'echo "{me.job_id} {me.number}"'
    batch = make_batch(scheduler, tmp_path, script, numbers=(3, 12, 13, 49, 1234))
    with limited.counted() as calls:
        ids = scheduler.submit(batch)
    assert calls["sbatch"] == 4
    assert {job["job_name"] for job in scheduler.queue().values()} <= {
        f"job-{n}" for n in batch.numbers
    }
    wait_until(lambda: not alive(scheduler))
    for number, job_id in ids.items():
        output = tmp_path / "logs" / f"job-{number}-{job_id}.out"
        assert output.read_text() == f"{job_id} {number}\n"


def test_preferences_of_the_user_hide_no_job(submit, monkeypatch):
    (job_id,) = submit(using=SLURM(cores=1, extra_scheduler=["--hold"])).values()
    for name, value in {
        "SQUEUE_STATES": "RUNNING",
        "SQUEUE_PARTITION": "single",
        "SQUEUE_FORMAT": "%j",
        "SQUEUE_USERS": "nobody",
        "SCANCEL_STATE": "RUNNING",
    }.items():
        monkeypatch.setenv(name, value)
    scheduler = SLURM(cores=1)
    assert alive(scheduler) == {job_id}
    scheduler.cancel_ids([job_id])
    wait_until(lambda: not alive(scheduler))


def test_jobs_of_a_job_are_not_that_job(submit, monkeypatch, tmp_path):
    # As in a notebook that runs in a job of its own.
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_MEM_PER_NODE", "SLURM_NTASKS"):
        monkeypatch.setenv(name, "77")
    submit("env > seen.new; mv seen.new seen")
    wait_until((tmp_path / "work" / "seen").exists)
    seen = (tmp_path / "work" / "seen").read_text()
    assert "=77\n" not in seen


# Refusals.


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"extra_scheduler": ["--partition=nix"]}, "Invalid partition name specified"),
        ({"memory": "999G"}, "Requested node configuration is not available"),
        ({"constraint": "nix"}, "Invalid feature specification"),
        ({"gpus": 1}, r"Invalid generic resource \(gres\) specification"),
        ({"memory": "much"}, "Invalid --mem specification"),
        ({"extra_scheduler": ["--nosuch"]}, "unrecognized option '--nosuch'"),
    ],
)
def test_what_slurm_refuses_is_told_in_its_words(submit, keywords, words):
    scheduler = SLURM(cores=1, **keywords)
    with pytest.raises(SubmissionRejectedError, match=f"'job'(.|\n)*{words}(.|\n)*job.sh"):
        submit(using=scheduler)
    assert scheduler.queue() == {}


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"partition": "nix"}, "There is no partition 'nix' here. There are: main, single"),
        ({"cores": 3}, "3 cores on one node: partition 'main' has no more than 2 cores"),
        (
            {"cores": None, "nodes": 2, "cores_per_node": 1, "partition": "single"},
            "2 nodes: partition 'single' has no more than 1 node of 1 core",
        ),
        (
            {"cores": None, "nodes": 2, "cores_per_node": 3},
            "'main' has no more than 0 nodes of 3 cores",
        ),
        ({"cores": 9}, "9 cores on any nodes: partition 'main' has no more than 8 cores"),
    ],
)
def test_what_can_never_be_had_is_refused_before_anything_is_submitted(submit, keywords, words):
    is_on_one_node = keywords.get("cores") == 3
    executor = "process-pool" if is_on_one_node else "mpi4py"
    scheduler = SLURM(**{"cores": 2, "executor_type": executor} | keywords)
    with pytest.raises(InvalidInputError, match=words):
        scheduler.check(scheduler.resources(0))
    with pytest.raises(SubmissionRejectedError, match=words):
        submit(using=scheduler)


@pytest.mark.system
def test_a_machine_without_slurm_is_told_from_one_with(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    scheduler = SLURM(cores=1)
    with pytest.raises(InvalidInputError, match="no sbatch on PATH"):
        scheduler.check(scheduler.resources(0))
    with pytest.raises(SchedulerUnavailableError, match="squeue"):
        scheduler.queue()
    with pytest.raises(SchedulerUnavailableError, match="sinfo"):
        slurm_partitions()
    assert "#SBATCH --cpus-per-task=1\n" in scheduler.job_script()


def test_a_log_folder_that_can_not_be_made_is_told(submit, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SubmissionRejectedError, match=r"Name another folder with `log_folder"):
        submit(log_folder=tmp_path / "file" / "logs")


# Partitions.


def test_partitions_come_with_their_cores(slurm):
    expected = dict.fromkeys(("main", "single", "urgent", "brief", "closed", "down"), 2)
    assert slurm_partitions() == SLURM(cores=1).partitions == expected
    assert slurm_partitions(with_ncores=False) == list(expected)


def test_a_job_gets_all_cores_of_a_node_unless_it_says_how_many(slurm):
    scheduler = SLURM(nodes=1)
    assert scheduler.resources(0).cores == 2
    assert "#SBATCH --cpus-per-task=2\n" in scheduler.job_script()


def test_a_partition_may_be_chosen_when_jobs_are_submitted(submit):
    scheduler = SLURM(cores=1, partition=(lambda: "urgent", "single"))
    for number, partition in enumerate(["urgent", "single"]):
        (job_id,) = submit(using=scheduler, resources=scheduler.resources(number)).values()
        listed = subprocess.run(
            ["squeue", "-h", "-j", job_id, "-o", "%P"], capture_output=True, text=True, check=True
        )
        assert listed.stdout == f"{partition}\n"


# States and ends.


def test_why_a_job_waits_is_told_in_slurms_words(submit):
    (held,) = submit(using=SLURM(cores=1, extra_scheduler=["--hold"])).values()
    (down,) = submit(using=SLURM(cores=1, partition="down")).values()
    (long,) = submit(using=SLURM(cores=1, partition="brief", time="1:00:00")).values()
    reasons = {held: "JobHeldUser", down: "PartitionDown", long: "PartitionTimeLimit"}
    queue = SLURM(cores=1).queue
    wait_until(lambda: {i: job["reason"] for i, job in queue().items()} == reasons)
    assert not any(job["running"] for job in queue().values())


def test_a_requeued_job_lives_on_and_goes_on_with_its_output(slurm, running, tmp_path):
    job_id = running(f'echo "start {SLURM.variables.restarts}"\n{HOLD}')
    output = tmp_path / "work" / "logs" / f"job-0-{job_id}.out"

    def starts():
        return [line for line in output.read_text().splitlines() if line.startswith("start")]

    wait_until(lambda: starts() == ["start 0"])
    slurm.requeue(job_id)
    assert job_id in alive(SLURM(cores=1))
    wait_until(lambda: starts() == ["start 0", "start 1"])
    assert SLURM(cores=1).ends([job_id]) == {}


def test_a_lost_node_ends_a_job_that_must_not_be_requeued(slurm, running):
    job_id = running(using=SLURM(cores=1, partition="single", requeue=False))
    slurm.lose_node("n0")
    wait_until(lambda: job_id not in alive(SLURM(cores=1)))
    end = JobEnd(state="NODE_FAIL", reason="NodeDown", is_no_fault=True)
    assert SLURM(cores=1).ends([job_id]) == {job_id: end}


def test_a_job_of_a_lost_node_may_come_back(slurm, running):
    job_id = running(using=SLURM(cores=1, partition="single"))
    slurm.lose_node("n0")
    wait_until(lambda: state_of(job_id) == "PENDING")
    assert job_id in alive(SLURM(cores=1))


@pytest.mark.parametrize("requeue", [True, False])
def test_a_job_gives_way_to_a_more_urgent_one(running, requeue):
    scheduler = SLURM(cores=2, partition="single", requeue=requeue)
    job_id = running(using=scheduler)
    urgent = SLURM(cores=2, partition="urgent", extra_scheduler=["--nodelist=n0"])
    running(using=urgent)
    if requeue:
        assert state_of(job_id) == "PENDING"
    else:
        wait_until(lambda: job_id not in alive(scheduler))
        assert scheduler.ends([job_id])[job_id].state == "PREEMPTED"


@pytest.mark.system
def test_an_end_that_is_forgotten_is_not_known(limited, tmp_path):
    scheduler = SLURM(cores=1)
    (job_id,) = scheduler.submit(make_batch(scheduler, tmp_path, "exit 3")).values()
    wait_until(lambda: job_id not in alive(scheduler))
    wait_until(lambda: not scheduler.ends([job_id]))  # it was known for some seconds


@pytest.mark.system
def test_the_accounting_knows_ends_that_the_controller_has_forgotten(limited, tmp_path):
    scheduler = SLURM(cores=1)
    (job_id,) = scheduler.submit(make_batch(scheduler, tmp_path, "exit 3")).values()
    wait_until(lambda: job_id not in alive(scheduler))
    # There is no accounting here. These are the words of one.
    sacct = tmp_path / "sacct"
    sacct.write_text(f"#!/bin/sh\necho '{job_id}|TIMEOUT|0:0'\n")
    sacct.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        wait_until(lambda: scheduler.ends([job_id]) == {job_id: JobEnd(state="TIMEOUT")})


def test_output_that_can_not_be_written_is_told(submit, tmp_path):
    (job_id,) = submit("true", using=SLURM(cores=1, extra_scheduler=["--hold"])).values()
    (tmp_path / "work" / "logs").rmdir()
    subprocess.run(["scontrol", "release", job_id], check=True)
    wait_until(lambda: job_id not in alive(SLURM(cores=1)))
    end = SLURM(cores=1).ends([job_id])[job_id]
    assert end.state == "FAILED"
    assert "output could not be opened" in str(end)


# Names.


def test_jobs_are_cancelled_by_name_by_whoever_asks(submit):
    ids = submit(n=12, job_name="sweep")
    others = [
        *submit(job_name="sweep-2").values(),
        *submit(job_name="sweeper", n=2).values(),
    ]
    names = [f"sweep-{n}" for n in range(12)]
    assert SLURM.cancel_jobs("sweep", dry=True) == names
    assert SLURM.cancel_jobs("sweep") == names
    wait_until(lambda: not alive(SLURM(cores=1)) & set(ids.values()))
    assert alive(SLURM(cores=1)) == set(others)


# A controller in trouble.


@pytest.mark.parametrize("trouble", ["controller_stopped", "controller_down"])
def test_without_an_answer_nothing_is_believed(slurm, running, trouble):
    job_id = running()
    scheduler = SLURM(cores=1)
    with getattr(slurm, trouble)():
        with pytest.raises(SchedulerUnavailableError, match="squeue"):
            scheduler.queue()
        with pytest.raises(SchedulerUnavailableError, match="scancel"):
            scheduler.cancel_ids(["99999"])  # it may arrive all the same
        assert scheduler.ends([job_id]) == {}
    assert job_id in alive(scheduler)


def test_a_submission_without_an_answer_is_found_by_its_token(slurm, submit):
    scheduler = asked(SLURM(cores=1))
    with slurm.controller_stopped(), pytest.raises(SchedulerUnavailableError, match="not known"):
        submit(n=2, token="doubt", using=scheduler)
    queue = wait_until(scheduler.queue)  # it had arrived all the same
    assert {(job["job_name"], job["token"]) for job in queue.values()} == {
        ("job-0", "doubt"),
        ("job-1", "doubt"),
    }


def test_a_controller_that_dies_in_the_middle_of_a_submission_leaves_doubt(slurm, submit):
    scheduler = asked(SLURM(cores=1))
    errors = []

    def try_to_submit():
        try:
            submit(token="doubt", using=scheduler)
        except SchedulerUnavailableError as error:
            errors.append(error)

    slurm.signal(signal.SIGSTOP, "slurmctld")
    thread = threading.Thread(target=try_to_submit)
    thread.start()
    wait_until(lambda: "sbatch" in [child.name() for child in psutil.Process().children()])
    slurm.kill("slurmctld")
    thread.join()
    assert errors
    slurm.start_controller()
    (queue,) = wait_until(
        lambda: [] if (answer := answer_of(scheduler.queue)) is None else [answer]
    )
    assert len(queue) <= 1
