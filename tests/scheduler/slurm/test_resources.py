"""What users ask Slurm for, and the options of sbatch that ask for it."""

from __future__ import annotations

import datetime as dt
import os

import pytest

from adaptive_scheduler.errors import InvalidInputError, SchedulerUnavailableError
from adaptive_scheduler.scheduler import SLURM, slurm_partitions
from adaptive_scheduler.scheduler.command import Commands
from adaptive_scheduler.scheduler.slurm.resources import (
    DEFAULT_MAX_ARRAY_SIZE,
    SlurmResources,
    SlurmSite,
    parse_config,
    parse_partitions,
)


def head(scheduler, index=0):
    return scheduler.script_head(scheduler.resources(index))


def test_the_cores_of_a_job_are_on_one_node():
    assert SlurmResources(cores=10).options() == [
        "--nodes=1",
        "--ntasks=1",
        "--cpus-per-task=10",
    ]


def test_workers_on_several_nodes_are_tasks():
    assert SlurmResources(cores=10, executor_type="mpi4py").options() == ["--ntasks=10"]
    wanted = SlurmResources(nodes=2, cores_per_node=5, executor_type="mpi4py")
    assert wanted.options() == ["--nodes=2", "--ntasks-per-node=5"]
    assert wanted.cores == 10


def test_all_options_together():
    scheduler = SLURM(
        nodes=1,
        cores_per_node=4,
        partition="gpu,long",
        memory="4G",
        exclusive=True,
        time=dt.timedelta(days=2, minutes=3),
        account="physics",
        qos="high",
        constraint="[rack1|rack2]&ib",
        gpus=2,
        gres="lustre:1",
        requeue=False,
        extra_scheduler=["--mail-type=END", "--time=1"],
    )
    assert head(scheduler) == [
        "#SBATCH --nodes=1",
        "#SBATCH --ntasks=1",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --partition=gpu,long",
        "#SBATCH --mem=4G",
        "#SBATCH --time=48:03:00",
        "#SBATCH --account=physics",
        "#SBATCH --qos=high",
        "#SBATCH --constraint=[rack1|rack2]&ib",
        "#SBATCH --gpus=2",
        "#SBATCH --gres=lustre:1",
        "#SBATCH --exclusive",
        "#SBATCH --no-requeue",
        "#SBATCH --open-mode=append",
        "#SBATCH --signal=B:USR1@60",
        "#SBATCH --mail-type=END",
        "#SBATCH --time=1",
        "trap '' USR1  # until the program listens: a warning would end the shell",
    ]


def test_each_learner_may_ask_for_its_own():
    scheduler = SLURM(
        cores=(1, 2, lambda: 3),
        partition=("a", None, "a"),
        gpus=(None, 1, "tesla:2"),
        extra_scheduler=(["--nice"], None, None),
    )
    assert [scheduler.resources(i).cores for i in range(3)] == [1, 2, 3]
    assert [scheduler.resources(i).gpus for i in range(3)] == [None, "1", "tesla:2"]
    assert "#SBATCH --partition=a" in head(scheduler, 2)
    assert not any("partition" in line for line in head(scheduler, 1))
    assert scheduler.extra_scheduler(index=0) == "#SBATCH --nice"


def test_functions_are_called_at_each_submission():
    free = iter(["a", "b"])
    scheduler = SLURM(cores=1, partition=lambda: next(free))
    assert [scheduler.resources(0).partition for _ in range(2)] == ["a", "b"]


# The early warning.


def warnings(**keywords):
    return [line for line in head(SLURM(cores=1, **keywords)) if "USR1" in line]


@pytest.mark.parametrize(
    ("keywords", "seconds"),
    [
        ({"time": "1:00:00"}, 60),
        ({"time": "02:00"}, 12),
        ({"time": "02:00", "signal_before_end": 90}, 90),
        ({"signal_before_end": 300}, 300),
    ],
)
def test_a_job_is_warned_before_its_time_is_over(keywords, seconds):
    option, trap = warnings(**keywords)
    assert option == f"#SBATCH --signal=B:USR1@{seconds}"
    assert trap.startswith("trap '' USR1")


@pytest.mark.parametrize("keywords", [{}, {"time": "1:00:00", "signal_before_end": 0}])
def test_a_job_is_not_warned_whose_time_is_not_known_or_that_does_not_want_it(keywords):
    assert warnings(**keywords) == []


# What can't be.


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({}, "How big is a job"),
        ({"cores": 0}, "How big is a job"),
        ({"cores": -1}, "cores"),
        ({"cores": 2.5}, "cores"),
        ({"cores_per_node": 2}, "needs `nodes`"),
        ({"cores": 2, "nodes": 1}, "either `cores`, or"),
        ({"nodes": 0, "cores_per_node": 2}, "`nodes` is a positive"),
        ({"nodes": 1, "cores_per_node": "all"}, "`cores_per_node` is a positive"),
        ({"nodes": 2, "cores_per_node": 2}, "one node only"),
        ({"cores": 1, "partition": "two words"}, "`partition` is a word"),
        ({"cores": 1, "memory": ""}, "`memory` is a word"),
        ({"cores": 1, "exclusive": "yes"}, "`exclusive` is True or False"),
        ({"cores": 1, "time": "soon"}, "time"),
        ({"cores": 1, "extra_scheduler": ["--clusters=b"]}, "other clusters"),
        ({"cores": 1, "extra_scheduler": ["-M b"]}, "other clusters"),
        ({"cores": 1, "extra_scheduler": ["--comment='no end"]}, "extra_scheduler"),
        ({"cores": (1, 2), "partition": ("a",)}, "one value for each"),
        ({"cores": 1, "signal_before_end": -1}, "signal_before_end"),
        ({"cores": 1, "signal_before_end": "soon"}, "signal_before_end"),
    ],
)
def test_what_can_not_be_is_refused_at_once(keywords, message):
    with pytest.raises(InvalidInputError, match=message):
        SLURM(**keywords)


def test_an_option_of_a_federation_is_none_of_another_cluster():
    SLURM(cores=1, extra_scheduler=["--cluster-constraint=fast"])


def test_a_keyword_that_there_is_not_is_an_error():
    with pytest.raises(TypeError, match="patition"):
        SLURM(cores=1, patition="a")


PARTITIONS = """\
single|2|1
main*|2|4
main*|8|1
short-64|8|2
"""
FEDERATION = "main*|2|2\nmain*|4|2\nonly_b|2|1\nonly_a|2|1\n"
CONFIG = """\
Configuration data as of 2026-11-22T11:31:55
AuthInfo                = socket=/tmp/slurm/munge/socket,cred_expire=10
MaxArraySize            = 5001
MaxJobCount             = 20000

Slurmctld(primary) at localhost is UP
"""


class Answers(Commands):
    """Commands whose answers are known; without one, a command fails."""

    def __init__(self, **answers):
        super().__init__()
        self.answers = answers
        self.calls = []

    def ask(self, command, *, harmless=()):  # noqa: ARG002  nothing is
        self.calls.append(command[0])
        if command[0] not in self.answers:
            raise SchedulerUnavailableError(f"{command[0]} is not for users.")
        return self.answers[command[0]]


@pytest.fixture
def answers():
    """Return commands that answer with the texts above."""
    return Answers(sinfo=PARTITIONS, scontrol=CONFIG)


@pytest.fixture
def site(answers):
    return SlurmSite(answers)


@pytest.fixture
def dumb_site():
    """Return a site that answers nothing."""
    return SlurmSite(Answers())


def test_the_default_partition_comes_first():
    assert list(parse_partitions(PARTITIONS)) == ["main", "single", "short-64"]
    assert parse_partitions(PARTITIONS)["main"].is_default


@pytest.mark.system
def test_cores_are_counted_and_not_guessed_from_a_name(monkeypatch, tmp_path):
    sinfo = tmp_path / "sinfo"
    sinfo.write_text(f"#!/bin/sh\nprintf '%s' '{PARTITIONS}'\n")
    sinfo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert slurm_partitions() == {"main": 2, "single": 2, "short-64": 8}
    assert slurm_partitions(with_ncores=False) == ["main", "single", "short-64"]


def test_partitions_of_a_federation_are_put_together():
    main = parse_partitions(FEDERATION)["main"]
    assert main.nodes == ((2, 2), (4, 2))
    assert (main.n_cores, main.cores_of_each_node, main.cores_of_largest_node) == (12, 2, 4)


def test_what_no_partition_is_is_left_out():
    assert parse_partitions("Welcome!\n\nmain*|2|4\n|||\n") == parse_partitions("main*|2|4\n")


def test_limits_are_read_once(site, answers):
    assert [site.array_size, site.array_size] == [2001, 2001]
    assert [len(site.partitions), len(site.partitions)] == [3, 3]
    assert answers.calls == ["scontrol", "sinfo"]


@pytest.mark.parametrize(
    ("largest", "n_jobs", "size"),
    [
        ("1001", "10000", 1001),
        ("100001", "10000", 1001),
        ("1001", "5000", 501),
        ("1001", "50", 11),
        ("5", "10000", 5),
        ("0", "10000", 0),
        ("(null)", "(null)", DEFAULT_MAX_ARRAY_SIZE),
    ],
)
def test_an_array_leaves_room_for_others(site, answers, largest, n_jobs, size):
    answers.answers["scontrol"] = f"MaxArraySize = {largest}\nMaxJobCount = {n_jobs}\n"
    assert site.array_size == size


def test_a_value_may_hold_any_sign():
    assert parse_config(CONFIG)["AuthInfo"] == "socket=/tmp/slurm/munge/socket,cred_expire=10"


def test_a_site_that_does_not_tell_its_limits_has_those_of_slurm(dumb_site):
    assert dumb_site.array_size == DEFAULT_MAX_ARRAY_SIZE
    with pytest.raises(SchedulerUnavailableError, match="sinfo"):
        dumb_site.chosen("main")


@pytest.mark.parametrize("partition", ["nix", "main,nix", "MAIN"])
def test_a_partition_that_is_not_there_is_named_with_those_that_are(site, partition):
    with pytest.raises(InvalidInputError, match=r"(nix|MAIN).*main, single, short-64"):
        site.check(SlurmResources(cores=1, partition=partition))


@pytest.mark.parametrize(
    "wanted",
    [
        {"cores": 8},
        {"cores": 2, "partition": "single"},
        {"cores": 8, "partition": "single,short-64"},
        {"nodes": 1, "cores_per_node": 8},
    ],
)
def test_what_a_node_has_can_be_had(site, wanted):
    site.check(SlurmResources(**wanted))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"cores": 9}, "9 cores on one node: partition 'main' has no more than 8 cores on a node"),
        ({"cores": 3, "partition": "single"}, "'single' has no more than 2 cores on a node"),
        ({"nodes": 1, "cores_per_node": 9, "partition": "short-64"}, "'short-64' has no more"),
    ],
)
def test_what_no_node_has_is_refused(site, wanted, message):
    with pytest.raises(InvalidInputError, match=message):
        site.check(SlurmResources(**wanted))
