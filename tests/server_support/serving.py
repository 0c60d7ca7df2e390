"""A server on this machine, and peers that talk to it."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
import zmq
import zmq.asyncio

from adaptive_scheduler.protocol import curve, messages
from adaptive_scheduler.protocol.server import Server
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.layout import write_private
from tests.journals import open_journal, read

JOB = messages.JobIdentity("7")
STATUS = messages.Status(JOB, messages.Attempt(0, 1), {})
DONE = messages.Done(JOB, messages.Attempt(0, 1), {})


class Site:
    """A server with its journal, and peers that talk to it."""

    def __init__(self, folder, port=None):
        folder.mkdir(exist_ok=True)
        self.journal = open_journal(folder / "journal.jsonl")
        self.heard = []
        self.is_stopped = False
        self.disconnected = asyncio.Event()
        self.server = Server(self._handle, self.journal, self._confirm, self.disconnected.set)
        self.port = self.server.start("127.0.0.1", port)
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.connection = curve.Connection(
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
        if isinstance(request.message, messages.Done):
            self.journal.append(events.Done(time=1.0, learner=request.message.attempt.learner))
        return messages.Accepted()

    def written(self):
        return read(self.journal.path)

    def peer(self, connection=None):
        return curve.job_socket(self.context, connection or self.connection, self.address)

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
        assert await ask(peer, STATUS) == messages.Accepted()
        peer.close()


@contextlib.asynccontextmanager
async def serving(folder, port=None):
    site = Site(folder, port)
    try:
        yield site
    finally:
        await site.close()


async def ask(peer, message, seq=1):
    await peer.send(messages.encode(messages.Request(seq, message)))
    reply = messages.decode_reply(await peer.recv())
    assert reply.seq == seq
    return reply.answer


async def until(condition):
    """Wait for what other tasks on the loop bring about."""
    while not condition():  # noqa: ASYNC110  nobody sets an event for us
        await asyncio.sleep(0.005)
