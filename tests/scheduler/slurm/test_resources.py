"""What users ask Slurm for, and the options of sbatch that ask for it."""

from __future__ import annotations

import datetime as dt

import pytest

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.scheduler import SLURM
from adaptive_scheduler.scheduler.slurm.resources import SlurmResources


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
