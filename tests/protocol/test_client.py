"""A job finds its manager wherever it is, and asks until it is answered."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
import zmq.asyncio

from adaptive_scheduler.protocol import client as connection_module
from adaptive_scheduler.protocol import curve, messages
from adaptive_scheduler.protocol.client import ManagerConnection
from adaptive_scheduler.run_folder.layout import write_private
from tests.asynchronous import in_a_loop
from tests.ports import free_ports
from tests.server_support.serving import DONE, STATUS, serving, until
from tests.waiting import PATIENCE

#: Where nobody listens, ever.
NOWHERE = "tcp://127.0.0.1:1"


@pytest.fixture(autouse=True)
def _ask_once(monkeypatch):
    """Have requests repeated in those tests only that ask for it."""
    monkeypatch.setattr(connection_module, "_FIRST_PAUSE", PATIENCE)


@pytest.fixture
def ask_again_soon(monkeypatch, _ask_once):
    monkeypatch.setattr(connection_module, "_FIRST_PAUSE", 0.3)
    monkeypatch.setattr(connection_module, "_LONGEST_PAUSE", 1.0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "connection.json"


@contextlib.asynccontextmanager
async def connected(path):
    connection = ManagerConnection(path)
    try:
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def silent_listener():
    """Listen at an address where connections are taken and nothing is ever said."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"


# Finding the manager.


@in_a_loop
async def test_a_request_is_answered(tmp_path, path):
    async with serving(tmp_path / "site") as site, connected(path) as connection:
        site.publish(path)
        assert await connection.request(STATUS, patience=PATIENCE) == messages.Accepted()
        assert await connection.request(DONE, patience=PATIENCE) == messages.Accepted()
        assert site.heard == [STATUS, DONE]


@in_a_loop
async def test_all_addresses_are_tried_and_the_one_that_answers_is_kept(tmp_path, path):
    async with serving(tmp_path / "site") as site, connected(path) as connection:
        with silent_listener() as silent:
            others = [NOWHERE, silent, "tcp://no-such-host.invalid:5555"]
            site.publish(path, [*others, site.address])
            for _ in range(3):
                assert await connection.request(STATUS, patience=PATIENCE) == messages.Accepted()
            assert len(connection._sockets) == 1
            assert site.heard == [STATUS] * 3


@in_a_loop
async def test_a_manager_with_several_addresses_hears_a_job_once(tmp_path, path):
    async with serving(tmp_path / "site") as site, connected(path) as connection:
        site.publish(path, [site.address, site.address.replace("127.0.0.1", "localhost")])
        assert await connection.request(STATUS, patience=PATIENCE) == messages.Accepted()
        assert await connection.request(DONE, patience=PATIENCE) == messages.Accepted()
        assert site.heard.count(DONE) == 1


@pytest.mark.usefixtures("ask_again_soon")
@in_a_loop
async def test_a_manager_that_starts_later_is_found(tmp_path, path):
    async with connected(path) as connection:
        asking = asyncio.ensure_future(connection.request(STATUS, patience=PATIENCE))
        # There is no file, then one that is broken, then one of a manager that is gone.
        await until(connection._lock.locked)
        path.write_bytes(b"half a file")
        gone = curve.Connection((NOWHERE,), curve.KeyPair.new().public, curve.KeyPair.new())
        write_private(path, gone.to_json())
        await until(lambda: connection._sockets)
        async with serving(tmp_path / "site") as site:
            site.publish(path)
            assert await asking == messages.Accepted()


@pytest.mark.usefixtures("ask_again_soon")
@in_a_loop
async def test_a_manager_that_starts_where_it_was_announced_is_found(tmp_path, path):
    (port,) = free_ports(1)
    async with serving(tmp_path / "site", port) as site:
        site.publish(path)
        keys = site.server.manager_keys, site.server.job_keys
    async with connected(path) as connection:
        asking = asyncio.ensure_future(connection.request(STATUS, patience=PATIENCE))
        await until(lambda: connection._sockets)
        context = zmq.asyncio.Context()
        manager = curve.manager_socket(context, keys[0])
        manager.bind(f"tcp://127.0.0.1:{port}")
        peer, data = await manager.recv_multipart()
        reply = messages.Reply(messages.decode_request(data).seq, messages.Accepted())
        await manager.send_multipart([peer, messages.encode(reply)])
        assert await asking == messages.Accepted()
        context.destroy(linger=0)


@pytest.mark.usefixtures("ask_again_soon")
@in_a_loop
async def test_a_manager_that_has_moved_is_found(tmp_path, path):
    async with connected(path) as connection:
        async with serving(tmp_path / "first") as first:
            first.publish(path)
            assert await connection.request(STATUS, patience=PATIENCE) == messages.Accepted()
        async with serving(tmp_path / "second") as second:
            second.publish(path)
            assert await connection.request(DONE, patience=PATIENCE) == messages.Accepted()
            assert (set(map(type, first.heard)), set(map(type, second.heard))) == (
                {messages.Status},
                {messages.Done},
            )


@in_a_loop
async def test_a_manager_is_only_who_has_its_key(tmp_path, path):
    async with serving(tmp_path / "impostor") as impostor, connected(path) as connection:
        claimed = curve.Connection(
            (impostor.address,), curve.KeyPair.new().public, curve.KeyPair.new()
        )
        write_private(path, claimed.to_json())
        assert await connection.request(STATUS, patience=0.6) is None
        assert impostor.heard == []


# Requests and answers.


@pytest.mark.usefixtures("ask_again_soon")
@in_a_loop
async def test_a_request_whose_answer_is_lost_is_repeated_as_it_was(tmp_path, path):
    async with serving(tmp_path / "site") as site, connected(path) as connection:
        site.publish(path)
        seqs = []

        def lose_the_first(request, _):
            seqs.append(request.seq)
            return len(seqs) > 1

        site.confirm = lose_the_first
        assert await connection.request(DONE, patience=PATIENCE) == messages.Accepted()
        assert len(seqs) > len(set(seqs)) == 1


@in_a_loop
async def test_only_the_reply_to_this_request_counts(path):
    context = zmq.asyncio.Context()
    manager_keys, job_keys = curve.KeyPair.new(), curve.KeyPair.new()
    manager = curve.manager_socket(context, manager_keys)
    port = manager.bind_to_random_port("tcp://127.0.0.1")
    connection_file = curve.Connection((f"tcp://127.0.0.1:{port}",), manager_keys.public, job_keys)
    write_private(path, connection_file.to_json())
    async with connected(path) as connection:
        asking = asyncio.ensure_future(connection.request(STATUS, patience=PATIENCE))
        peer, data = await manager.recv_multipart()
        seq = messages.decode_request(data).seq
        for noise in (
            b"",
            b"nonsense",
            b"\x92\x01\x81\xa4type\xa4\xff\xff\xff\xff",
            messages.encode(messages.Reply(seq - 1, messages.Stop())),
            messages.encode(messages.Reply(seq + 1, messages.Stop())),
            messages.encode(messages.Reply(seq, messages.Assigned(messages.Attempt(0, 1)))),
        ):
            await manager.send_multipart([peer, noise])
        assert await asking == messages.Assigned(messages.Attempt(0, 1))
    context.destroy(linger=0)


@in_a_loop
async def test_each_of_several_requests_at_once_has_its_own_answer(tmp_path, path):
    async with serving(tmp_path / "site") as site, connected(path) as connection:
        site.publish(path)
        site.handle = lambda request: messages.Assigned(request.message.attempt)
        attempts = [messages.Attempt(i, i + 1) for i in range(20)]
        statuses = [messages.Status(messages.JobIdentity("7"), attempt, {}) for attempt in attempts]
        asking = [connection.request(status, patience=PATIENCE) for status in statuses]
        assert await asyncio.gather(*asking) == [messages.Assigned(attempt) for attempt in attempts]


@in_a_loop
async def test_a_request_that_was_given_up_does_not_disturb_the_next(tmp_path, path):
    async with serving(tmp_path / "site") as site, connected(path) as connection:
        site.publish(path)
        site.confirm = lambda request, _: request.message != STATUS
        asking = asyncio.ensure_future(connection.request(STATUS, patience=PATIENCE))
        await until(lambda: site.heard)
        asking.cancel()
        assert await connection.request(DONE, patience=PATIENCE) == messages.Accepted()


@in_a_loop
async def test_numbers_of_requests_grow_from_one_process_of_a_job_to_its_next(tmp_path, path):
    async with serving(tmp_path / "site") as site:
        site.publish(path)
        seqs = []
        site.confirm = lambda request, _: not seqs.append(request.seq)
        for _ in range(3):
            async with connected(path) as connection:
                for _ in range(2):
                    await connection.request(STATUS, patience=PATIENCE)
        assert seqs == sorted(set(seqs))


@in_a_loop
async def test_nobody_there_is_no_answer(path):
    async with connected(path) as connection:
        assert await connection.request(STATUS, patience=0.5) is None
        nowhere = curve.Connection((NOWHERE,), curve.KeyPair.new().public, curve.KeyPair.new())
        write_private(path, nowhere.to_json())
        assert await connection.request(STATUS, patience=0.5) is None


# Whether anybody is there at all.


async def is_refused(path, *addresses):
    write_private(
        path, curve.Connection(addresses, curve.KeyPair.new().public, curve.KeyPair.new()).to_json()
    )
    async with connected(path) as connection:
        return await connection.is_refused()


@in_a_loop
async def test_where_no_manager_was_announced_nobody_listens(path):
    async with connected(path) as connection:
        assert await connection.is_refused()


@in_a_loop
async def test_it_is_certain_that_nobody_listens_if_all_addresses_refuse(path):
    assert await is_refused(path, NOWHERE)
    assert await is_refused(path, NOWHERE, NOWHERE)


@in_a_loop
async def test_somebody_who_listens_and_says_nothing_may_be_the_manager(path):
    with silent_listener() as silent:
        assert not await is_refused(path, silent)
        assert not await is_refused(path, NOWHERE, silent)


@pytest.mark.parametrize("error", [TimeoutError(), OSError("No route to host")])
@in_a_loop
async def test_a_network_that_is_down_tells_nothing(path, monkeypatch, error):
    async def fail(*_):
        raise error

    monkeypatch.setattr(asyncio, "open_connection", fail)
    assert not await is_refused(path, NOWHERE)


@in_a_loop
async def test_finding_out_does_not_disturb_the_manager(tmp_path, path):
    async with serving(tmp_path / "site") as site, connected(path) as connection:
        site.publish(path)
        for _ in range(5):
            assert not await connection.is_refused()
        assert await connection.request(STATUS, patience=PATIENCE) == messages.Accepted()
        assert site.server.n_dropped == 0
