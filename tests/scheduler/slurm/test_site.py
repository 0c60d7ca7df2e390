"""What a site offers. The texts were printed by Slurm 22.05."""

from __future__ import annotations

import os

import pytest

from adaptive_scheduler.errors import InvalidInputError, SchedulerUnavailableError
from adaptive_scheduler.scheduler import slurm_partitions
from adaptive_scheduler.scheduler.command import Commands
from adaptive_scheduler.scheduler.slurm.resources import SlurmResources
from adaptive_scheduler.scheduler.slurm.site import (
    DEFAULT_MAX_ARRAY_SIZE,
    SlurmSite,
    parse_config,
    parse_partitions,
)

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
