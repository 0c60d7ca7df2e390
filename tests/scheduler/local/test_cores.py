"""How many cores there are, for a process that may not have all of them."""

from __future__ import annotations

import os

import pytest

from adaptive_scheduler.scheduler.local.scheduler import usable_cores


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a function that counts the cores of a machine with 64 of them."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))

    def count(own_cgroups, **limits):
        write(tmp_path / "own", own_cgroups)
        for path, text in limits.items():
            write(tmp_path / "cgroup" / path, text)
        return usable_cores(cgroups=tmp_path / "cgroup", own_cgroups=tmp_path / "own")

    return count


def test_without_limits_all_cores_to_which_the_process_is_bound_are_usable(machine):
    assert machine("0::/user.slice\n") == 64


@pytest.mark.parametrize(
    ("limit", "cores"),
    [
        ("max 100000\n", 64),
        ("400000 100000\n", 4),
        ("250000 100000\n", 2),
        ("50000 100000\n", 1),
        ("garbage\n", 64),
        ("", 64),
        ("100000 0\n", 64),
    ],
)
def test_a_limit_of_the_control_group_counts(machine, limit, cores):
    assert machine("0::/a/b\n", **{"a/b/cpu.max": limit}) == cores


def test_the_tightest_limit_around_the_process_counts(machine):
    limits = {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000", "cpu.max": "800000 100000"}
    assert machine("0::/a/b\n", **limits) == 3


def test_a_limit_of_an_older_kind_counts(machine):
    limits = {
        "cpu,cpuacct/a/cpu.cfs_quota_us": "200000",
        "cpu,cpuacct/a/cpu.cfs_period_us": "100000",
    }
    assert machine("4:cpu,cpuacct:/a\n0::/\n", **limits) == 2


def test_no_limit_of_an_older_kind(machine):
    limits = {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}
    assert machine("4:cpu:/\n", **limits) == 64


def test_in_a_container_the_limit_is_found_although_the_path_is_that_of_the_host(machine):
    assert machine("0::/docker/0123\n", **{"cpu.max": "200000 100000"}) == 2


def test_this_machine_has_cores():
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))
