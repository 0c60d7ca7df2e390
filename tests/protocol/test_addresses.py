"""Where the manager listens, and where jobs look for it."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from adaptive_scheduler._common.addresses import own_addresses
from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.protocol.server import (
    Listening,
    get_allowed_url,
    parse_url,
    published_addresses,
)


@pytest.fixture
def interfaces(monkeypatch):
    """Give the machine some interfaces and a name."""

    def address(text, family=socket.AF_INET):
        return SimpleNamespace(address=text, family=family)

    there = {
        "lo": [address("127.0.0.1"), address("::1", socket.AF_INET6)],
        "eth0": [address("192.168.0.7")],
        "ib0": [address("fe80::1", socket.AF_INET6), address("10.1.1.7")],
        "down0": [],
    }
    names = {"login1": "10.1.1.7", "localhost": "127.0.0.1"}

    def resolve(name):
        if name in names or name[:1].isdigit():
            return names.get(name, name)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(psutil, "net_if_addrs", lambda: there)
    monkeypatch.setattr(socket, "gethostname", lambda: "login1")
    monkeypatch.setattr(socket, "gethostbyname", resolve)
    return names


# What users say.


@pytest.mark.parametrize(
    ("url", "listening"),
    [
        (None, Listening("*", None)),
        ("tcp://*:*", Listening("*", None)),
        ("tcp://*:5555", Listening("*", 5555)),
        ("tcp://0.0.0.0:5555", Listening("*", 5555)),
        ("tcp://:5555", Listening("*", 5555)),
        ("tcp://*:0", Listening("*", None)),
        ("tcp://ib0:5555", Listening("10.1.1.7", 5555)),
        ("tcp://login1:*", Listening("10.1.1.7", None)),
        ("tcp://192.168.0.7:5555", Listening("192.168.0.7", 5555)),
    ],
)
@pytest.mark.usefixtures("interfaces")
def test_a_url_has_a_host_and_a_port(url, listening):
    assert parse_url(url, is_local=False) == listening


@pytest.mark.parametrize("url", [None, "tcp://*:*", "tcp://login1:*"])
def test_jobs_on_this_machine_need_no_network(url):
    assert parse_url(url, is_local=True) == Listening("127.0.0.1", None)
    assert parse_url("tcp://ib0:5555", is_local=True) == Listening("127.0.0.1", 5555)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "5555",
        "login1:5555",
        "http://login1:5555",
        "tcp://login1",
        "tcp://login1:",
        "tcp://login1:http",
        "tcp://login1:-1",
        "tcp://login1:70000",
        "tcp://login1:²",
    ],
)
@pytest.mark.usefixtures("interfaces")
def test_other_urls_are_refused(url):
    with pytest.raises(InvalidInputError, match="looks like 'tcp://host:port'"):
        parse_url(url, is_local=False)


@pytest.mark.parametrize("host", ["nowhere", "down0", "eth1"])
@pytest.mark.usefixtures("interfaces")
def test_a_host_that_is_unknown_is_refused(host):
    with pytest.raises(InvalidInputError, match=f"{host!r} is neither an interface nor a name"):
        parse_url(f"tcp://{host}:5555", is_local=False)


# What jobs try.


@pytest.mark.usefixtures("interfaces")
def test_jobs_try_all_addresses_that_of_the_machines_name_first_and_loopback_last():
    assert own_addresses() == ["10.1.1.7", "192.168.0.7", "127.0.0.1"]
    assert published_addresses(Listening("*", None), 5555) == (
        "tcp://10.1.1.7:5555",
        "tcp://192.168.0.7:5555",
        "tcp://127.0.0.1:5555",
    )


def test_a_machine_that_cannot_resolve_its_own_name_has_addresses(interfaces):
    interfaces.clear()
    assert own_addresses() == ["192.168.0.7", "10.1.1.7", "127.0.0.1"]


def test_a_name_that_means_loopback_is_no_better_than_loopback(interfaces):
    interfaces["login1"] = "127.0.1.1"
    assert own_addresses()[-1] == "127.0.0.1"


def test_one_address_is_the_only_one_tried():
    listening = Listening("10.1.1.7", 5555)
    assert published_addresses(listening, 5555) == ("tcp://10.1.1.7:5555",)


# This machine.


def test_this_machine_has_addresses():
    assert "127.0.0.1" in own_addresses()


def test_an_allowed_url_can_be_listened_at():
    listening = parse_url(get_allowed_url(), is_local=False)
    with socket.socket() as probe:
        probe.bind(listening)


@pytest.mark.system
def test_each_descriptor_that_there_can_be_is_allowed():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = min(hard, 100)
    script = (
        "import resource\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (50, {limit}))\n"
        "from adaptive_scheduler.protocol.server import raise_descriptor_limit\n"
        f"assert raise_descriptor_limit() == {limit}\n"
        f"assert raise_descriptor_limit() == {limit}\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert int(said.stdout) == limit
