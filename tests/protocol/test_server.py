"""The manager's socket: serves its jobs, whatever else comes in."""

from __future__ import annotations

import asyncio
import errno
import os
import pickle
import socket
import threading

import pytest
import zmq
import zmq.asyncio
from zmq.utils.monitor import recv_monitor_message

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.protocol import curve, messages
from adaptive_scheduler.protocol import server as server_module
from adaptive_scheduler.protocol.server import Server
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import Journal
from tests.asynchronous import in_a_loop
from tests.ports import free_ports
from tests.server_support.serving import DONE, STATUS, ask, serving, until
from tests.waiting import PATIENCE

# The usual.


@in_a_loop
async def test_a_job_is_answered(tmp_path):
    async with serving(tmp_path) as site:
        peer = site.peer()
        assert await ask(peer, STATUS, seq=5) == messages.Accepted()
        assert await ask(peer, DONE, seq=6) == messages.Accepted()
        assert site.heard == [STATUS, DONE]
        assert site.written() == [events.Done(time=1.0, learner=0)]


@in_a_loop
async def test_all_of_many_requests_at_once_are_answered(tmp_path):
    n_peers, n_requests = 10, 300
    async with serving(tmp_path) as site:

        async def ask_often():
            peer = site.peer()
            for seq in range(n_requests):
                await peer.send(messages.encode(messages.Request(seq, DONE if seq % 2 else STATUS)))
            return [messages.decode_reply(await peer.recv()).seq for _ in range(n_requests)]

        all_seqs = await asyncio.gather(*(ask_often() for _ in range(n_peers)))
        assert all_seqs == [list(range(n_requests))] * n_peers
        assert len(site.written()) == n_peers * n_requests // 2


@in_a_loop
async def test_the_manager_hears_of_connections_that_end(tmp_path):
    async with serving(tmp_path) as site:
        peer = site.peer()
        await ask(peer, STATUS)
        assert not site.disconnected.is_set()
        peer.close()
        await site.disconnected.wait()


THOUSAND = 1000


@in_a_loop
async def test_a_thousand_jobs_are_served_at_once(tmp_path):
    async with serving(tmp_path) as site:
        site.context.set(zmq.MAX_SOCKETS, 2 * THOUSAND)
        peers = [site.peer() for _ in range(THOUSAND)]
        for peer in peers:
            await peer.send(messages.encode(messages.Request(1, DONE)))
        for peer in peers:
            assert messages.decode_reply(await peer.recv()).answer == messages.Accepted()
        assert len(site.heard) == len(site.written()) == THOUSAND
        await site.serves_a_good_peer()


# Others.


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\0" * 1000,
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\xff\0\0\0\0\0\0\0\x01\x7f\x03",
        b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0CURVE" + b"\0" * 200,
        os.urandom(100_000),
    ],
    ids=["nothing", "zeros", "http", "half a greeting", "a greeting and zeros", "noise"],
)
@in_a_loop
async def test_garbage_on_the_port_is_dropped(tmp_path, garbage):
    async with serving(tmp_path) as site:
        good = site.peer()
        await ask(good, STATUS)
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", site.port)) as plain:
                plain.sendall(garbage)
        assert await ask(good, STATUS) == messages.Accepted()
        await site.serves_a_good_peer()
        assert site.heard == [STATUS] * 3


#: What happens to a connection that does not get through.
_REFUSED = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_DISCONNECTED
)


async def is_refused(peer, address):
    """Wait until the handshake has failed; return what happened then."""
    monitor = peer.get_monitor_socket(_REFUSED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
    peer.connect(address)
    await peer.send(messages.encode(messages.Request(1, STATUS)))
    event = (await recv_monitor_message(monitor))["event"]
    peer.disable_monitor()
    monitor.close(linger=0)
    peer.close(linger=0)
    return event != zmq.EVENT_HANDSHAKE_SUCCEEDED


@in_a_loop
async def test_nobody_gets_in_without_keys(tmp_path):
    async with serving(tmp_path) as site:
        assert await is_refused(site.context.socket(zmq.DEALER), site.address)
        await site.serves_a_good_peer()
        assert len(site.heard) == 1


def curve_peer(site, job_keys, manager_key):
    peer = site.context.socket(zmq.DEALER)
    peer.curve_publickey = job_keys.public.encode()
    peer.curve_secretkey = job_keys.secret.encode()
    peer.curve_serverkey = manager_key.encode()
    return peer


@in_a_loop
async def test_nobody_gets_in_with_a_key_of_another_run(tmp_path):
    async with serving(tmp_path) as site:
        stranger = curve_peer(site, curve.KeyPair.new(), site.connection.manager_key)
        assert await is_refused(stranger, site.address)
        await site.serves_a_good_peer()
        assert len(site.heard) == 1


@in_a_loop
async def test_nobody_gets_in_who_does_not_know_the_manager(tmp_path):
    async with serving(tmp_path) as site:
        lost = curve_peer(site, site.connection.job_keys, curve.KeyPair.new().public)
        assert await is_refused(lost, site.address)
        await site.serves_a_good_peer()
        assert len(site.heard) == 1


@in_a_loop
async def test_the_right_keys_get_in_even_so(tmp_path):
    async with serving(tmp_path) as site:
        good = curve_peer(site, site.connection.job_keys, site.connection.manager_key)
        assert not await is_refused(good, site.address)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@in_a_loop
async def test_nonsense_from_a_job_is_counted_and_dropped(tmp_path, caplog):
    nonsense = [
        [b""],
        [b"hello"],
        [b"\x91" * 1000],
        [messages.encode(messages.Request(1, STATUS))[:-1]],
        [messages.encode(messages.Reply(1, messages.Accepted()))],
        [messages.encode(messages.Request(1, STATUS)), b"and another frame"],
        [b"", messages.encode(messages.Request(1, STATUS))],
        [pickle.dumps(Bomb(tmp_path / "exploded"))],
    ]
    async with serving(tmp_path) as site:
        peer = site.peer()
        for frames in nonsense:
            await peer.send_multipart(frames)
        assert await ask(peer, STATUS) == messages.Accepted()
        assert site.server.n_dropped == len(nonsense) == 8
        assert caplog.text.count("none of ours") == 4  # the 1st, 2nd, 4th and 8th
        assert site.heard == [STATUS]
        assert not (tmp_path / "exploded").exists()


@in_a_loop
async def test_a_message_that_is_too_large_costs_its_sender_the_connection(tmp_path):
    async with serving(tmp_path) as site:
        peer = site.peer()
        await ask(peer, STATUS)
        peer.linger = -1
        await peer.send(b"x" * (messages.MAX_MESSAGE_SIZE + 1))
        await site.disconnected.wait()
        await site.serves_a_good_peer()
        assert site.heard == [STATUS] * 2


@in_a_loop
async def test_a_request_that_nobody_can_answer_does_not_keep_others_waiting(tmp_path):
    async with serving(tmp_path) as site:
        answer = site.handle

        def handle(request):
            if request.seq % 10 == 3:
                raise KeyError("an error of ours")
            return answer(request)

        site.handle = handle
        peer = site.peer()
        for seq in range(100):
            await peer.send(messages.encode(messages.Request(seq, STATUS)))
        seqs = [messages.decode_reply(await peer.recv()).seq for _ in range(90)]
        assert seqs == [seq for seq in range(100) if seq % 10 != 3]
        assert site.server.n_dropped == 10
        await site.serves_a_good_peer()


# The disk comes first.


class SlowDisk:
    """Holds up the journal's writes, or lets them fail, until it is told otherwise."""

    def __init__(self, site, monkeypatch):
        self.is_free = threading.Event()
        self.is_used = asyncio.Event()
        self.error = None
        loop, flush = asyncio.get_running_loop(), site.journal.flush

        def slow_flush():
            loop.call_soon_threadsafe(self.is_used.set)
            if error := self.error:
                raise error
            assert self.is_free.wait(PATIENCE)
            flush()

        monkeypatch.setattr(site.journal, "flush", slow_flush)


@in_a_loop
async def test_no_answer_leaves_before_its_record_is_on_disk(tmp_path, monkeypatch):
    async with serving(tmp_path) as site:
        disk = SlowDisk(site, monkeypatch)
        peer = site.peer()
        await peer.send(messages.encode(messages.Request(1, DONE)))
        await disk.is_used.wait()
        # What is asked meanwhile may rest on the same record.
        await peer.send(messages.encode(messages.Request(2, STATUS)))
        await until(lambda: site.heard == [DONE, STATUS])
        assert not await peer.poll(50)
        assert site.written() == []
        disk.is_free.set()
        assert [messages.decode_reply(await peer.recv()).seq for _ in range(2)] == [1, 2]
        assert len(site.written()) == 1


@in_a_loop
async def test_an_answer_without_a_record_need_not_wait_for_the_disk(tmp_path, monkeypatch):
    async with serving(tmp_path) as site:
        disk = SlowDisk(site, monkeypatch)
        assert await ask(site.peer(), STATUS) == messages.Accepted()
        disk.is_free.set()
        assert not disk.is_used.is_set()


@in_a_loop
async def test_a_full_disk_holds_answers_back_until_there_is_room(tmp_path, monkeypatch):
    monkeypatch.setattr(server_module, "_DISK_RETRY_PAUSE", 0.01)
    async with serving(tmp_path) as site:
        disk = SlowDisk(site, monkeypatch)
        disk.error = OSError(errno.ENOSPC, "No space left on device")
        peer = site.peer()
        await peer.send(messages.encode(messages.Request(1, DONE)))
        await until(lambda: site.server.disk_error)
        assert "No space left" in str(site.server.disk_error)
        await peer.send(messages.encode(messages.Request(2, DONE)))
        await until(lambda: len(site.heard) == 2)
        assert not await peer.poll(50)
        disk.error = None
        disk.is_free.set()
        assert [messages.decode_reply(await peer.recv()).seq for _ in range(2)] == [1, 2]
        assert site.server.disk_error is None
        assert len(site.written()) == 2


@in_a_loop
async def test_whoever_waits_for_the_disk_waits_for_all_records(tmp_path, monkeypatch):
    async with serving(tmp_path) as site:
        disk = SlowDisk(site, monkeypatch)
        await site.server.flushed()
        site.journal.append(events.Done(time=1.0, learner=0))
        flushed = asyncio.ensure_future(site.server.flushed())
        await disk.is_used.wait()
        site.journal.append(events.Done(time=2.0, learner=1))
        assert not flushed.done()
        disk.is_free.set()
        await flushed
        assert len(site.written()) == 2


@in_a_loop
async def test_an_answer_that_is_not_confirmed_is_kept_back(tmp_path):
    async with serving(tmp_path) as site:
        seen = []

        def confirm(request, answer):
            seen.append((request.seq, answer, len(site.written())))
            return request.seq != 1

        site.confirm = confirm
        peer = site.peer()
        await peer.send(messages.encode(messages.Request(1, DONE)))
        assert await ask(peer, STATUS, seq=2) == messages.Accepted()
        assert seen == [(1, messages.Accepted(), 1), (2, messages.Accepted(), 1)]


@pytest.mark.parametrize("message", [STATUS, DONE])
@in_a_loop
async def test_what_is_recorded_on_confirmation_is_written_soon(tmp_path, message):
    async with serving(tmp_path) as site:
        record = events.Released(time=1.0, learner=3, reason="claimed")

        def confirm(request, answer):
            del request, answer
            site.journal.append(record)
            return False

        site.confirm = confirm
        peer = site.peer()
        await peer.send(messages.encode(messages.Request(1, message)))
        await until(lambda: record in site.written())


# The beginning and the end.


@in_a_loop
async def test_the_port_may_be_given(tmp_path):
    (port,) = free_ports(1)
    server = Server(lambda request: request, Journal(tmp_path / "j"), lambda *_: True, lambda: None)
    assert server.start("127.0.0.1", port) == port
    await server.stop()


@in_a_loop
async def test_a_port_that_is_taken_is_an_error_that_says_so(tmp_path):
    async with serving(tmp_path) as site:
        other = Server(lambda request: request, site.journal, lambda *_: True, lambda: None)
        with pytest.raises(InvalidInputError, match=f"{site.port}.*in use"):
            other.start("127.0.0.1", site.port)
        await site.serves_a_good_peer()


@in_a_loop
async def test_each_server_has_keys_of_its_own(tmp_path):
    async with serving(tmp_path / "a") as first, serving(tmp_path / "b") as second:
        assert first.connection.manager_key != second.connection.manager_key
        assert first.connection.job_keys != second.connection.job_keys


@in_a_loop
async def test_what_was_asked_before_the_stop_is_answered(tmp_path, monkeypatch):
    async with serving(tmp_path) as site:
        disk = SlowDisk(site, monkeypatch)
        peer = site.peer()
        await peer.send(messages.encode(messages.Request(1, DONE)))
        await disk.is_used.wait()
        stopping = asyncio.ensure_future(site.stop())
        disk.is_free.set()
        assert messages.decode_reply(await peer.recv()).seq == 1
        await stopping


@in_a_loop
async def test_a_disk_that_stays_full_keeps_the_server_from_answering_not_from_stopping(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(server_module, "_DISK_RETRY_PAUSE", 0.01)
    monkeypatch.setattr(server_module, "_LAST_FLUSH_PATIENCE", 0.05)
    async with serving(tmp_path) as site:
        disk = SlowDisk(site, monkeypatch)
        disk.error = OSError(errno.ENOSPC, "No space left on device")
        peer = site.peer()
        await peer.send(messages.encode(messages.Request(1, DONE)))
        await until(lambda: site.server.disk_error)
        writing = site.server.commit_soon()
        await site.stop()
        assert not await peer.poll(50)
        # Nobody tries any longer to write a file that is about to be closed.
        assert writing.cancelled()


@in_a_loop
async def test_the_port_is_free_after_the_stop(tmp_path):
    async with serving(tmp_path, *free_ports(1)) as site:
        pass
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", site.port))
