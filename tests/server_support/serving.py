"""A server on this machine, and peers that talk to it."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
import zmq
import zmq.asyncio

from adaptive_scheduler import journal as j
from adaptive_scheduler import protocol as p
from adaptive_scheduler.journal_writer import Journal
from adaptive_scheduler.run_folder import write_private
from adaptive_scheduler.server_support.server import Server

JOB = p.JobIdentity("7")
STATUS = p.Status(JOB, p.Attempt(0, 1), {})
DONE = p.Done(JOB, p.Attempt(0, 1), {})


class Site:
    """A server with its journal, and peers that talk to it."""

    def __init__(self, folder, port=None):
        folder.mkdir(exist_ok=True)
        self.journal = Journal(folder / "journal.jsonl")
        self.heard = []
        self.is_stopped = False
        self.disconnected = asyncio.Event()
        self.server = Server(self._handle, self.journal, self._confirm, self.disconnected.set)
        self.port = self.server.start("127.0.0.1", port)
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.connection = p.Connection(
            (self.address,), self.server.manager_keys.public, self.server.job_keys
        )
        self.context = zmq.asyncio.Context()

    def _handle(self, request):
        return self.handle(request)

    def _confirm(self, request, answer):
        return self.confirm(request, answer)

    # What tests may replace.

    def confirm(self, request, answer):
        del request, answer
        return True

    def handle(self, request):
        """Answer; what is done is written down."""
        self.heard.append(request.message)
        if isinstance(request.message, p.Done):
            self.journal.append(j.Done(time=1.0, learner=request.message.attempt.learner))
        return p.Accepted()

    def written(self):
        return list(j.read_journal(self.journal.path))

    def peer(self, connection=None):
        return p.job_socket(self.context, connection or self.connection, self.address)

    def publish(self, path, addresses=None):
        """Write the connection file."""
        connection = msgspec.structs.replace(
            self.connection, addresses=tuple(addresses or [self.address])
        )
        write_private(path, connection.to_json())

    async def stop(self):
        if not self.is_stopped:
            self.is_stopped = True
            await self.server.stop()

    async def close(self):
        self.context.destroy(linger=0)
        await self.stop()
        self.journal.close()

    async def serves_a_good_peer(self):
        """Check that a new peer is answered."""
        peer = self.peer()
        assert await ask(peer, STATUS) == p.Accepted()
        peer.close()


@contextlib.asynccontextmanager
async def serving(folder, port=None):
    site = Site(folder, port)
    try:
        yield site
    finally:
        await site.close()


async def ask(peer, message, seq=1):
    await peer.send(p.encode(p.Request(seq, message)))
    reply = p.decode_reply(await peer.recv())
    assert reply.seq == seq
    return reply.answer


async def until(condition):
    """Wait for what other tasks on the loop bring about."""
    while not condition():  # noqa: ASYNC110  nobody sets an event for us
        await asyncio.sleep(0.005)
