"""Messages with valid keys and broken contents: the manager goes on, and knows what it knew."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from types import SimpleNamespace

import adaptive
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adaptive_scheduler.learners.goals import smart_goal
from adaptive_scheduler.protocol import messages
from adaptive_scheduler.server_support.monitor import Monitor
from tests.server_support.fake_manager import (
    Manager,
    check_consistency,
    everything,
    fake_reconciler,
)
from tests.server_support.serving import JOB, Site
from tests.waiting import PATIENCE

N_LEARNERS = 3

#: Numbers at which something ends: what can be told, what is exact as a float, what fits.
ENDS = [-1, 2**31, messages.MAX_NUMBER, messages.MAX_NUMBER + 1, 2**63 - 1, 2**63, 2**64 - 1]
#: Numbers near those that mean something, and near where numbers end.
numbers = st.integers(0, N_LEARNERS + 1) | st.sampled_from(ENDS)
names = st.sampled_from(["1", "", "\0", "../../etc", "\U0001f600" * 1000]) | st.text(max_size=20)
jobs = st.builds(messages.JobIdentity, names, numbers)
attempts = st.builds(messages.Attempt, numbers, st.integers(1, 4) | st.sampled_from(ENDS))
#: Whatever is counted with what jobs tell must bear it.
counted = st.sampled_from(["npoints", "npoints/s", "latest_loss", "cpu_usage", "mem_usage"])
figures = st.dictionaries(counted | names, st.none() | names | st.floats() | numbers, max_size=4)
any_message = st.one_of(
    st.builds(messages.Hello, jobs, names, numbers, names, numbers, names, st.none() | attempts),
    st.builds(messages.Status, jobs, attempts, figures, st.none() | names),
    st.builds(messages.Done, jobs, attempts, figures),
    st.builds(messages.Failed, jobs, attempts, names, names),
    st.builds(messages.Released, jobs, attempts, names),
    st.builds(messages.CancelRun, jobs),
    st.builds(
        messages.CommandRequest, jobs, st.sampled_from(["pause", "retry"]), st.just((N_LEARNERS,))
    ),
)
requests = st.builds(messages.Request, numbers, any_message)


@st.composite
def broken(draw):
    """Return a request that lost, gained or changed some bytes."""
    data = bytearray(messages.encode(draw(requests)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        data[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


frames = st.lists(st.binary(max_size=50) | broken(), min_size=1, max_size=3)


class Served:
    """A manager that answers at a real socket, on a loop in a thread of its own."""

    def __init__(self, folder):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.manager = Manager([0] * N_LEARNERS)
        self.site = self.do(self._open(folder))

    def do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)

    async def _open(self, folder):
        site = Site(folder)
        self.manager.journal = site.journal
        site.handle = self.manager.handler.handle
        return site

    async def send(self, frames):
        """Send messages, and return when the manager has answered what came after them."""
        peer = self.site.peer()
        for frame in frames:
            await peer.send_multipart(frame)
        status = messages.Status(JOB, messages.Attempt(0, 1), {})
        await peer.send(messages.encode(messages.Request(99, status)))
        while True:
            reply = messages.decode_reply(await peer.recv())
            if reply.seq == 99:
                break
        peer.close()

    def replayed(self):
        """Return what the journal on disk tells."""
        return self.manager._replay(self.site.written())

    def monitor(self):
        """Return what counts along with all that was told."""
        learners = [adaptive.Learner1D(abs, (0, 1)) for _ in range(N_LEARNERS)]
        database = SimpleNamespace(
            state=self.manager.state,
            handler=self.manager.handler,
            learners=learners,
            groups=[0] * N_LEARNERS,
            record=self.manager.record,
            reconciler=fake_reconciler(self.manager, None),
        )
        return Monitor(database, smart_goal(100, learners), lambda _: 1)

    def close(self):
        self.do(self.site.close())
        self.loop.call_soon_threadsafe(self.loop.stop)


@pytest.fixture
def served(tmp_path):
    served = Served(tmp_path)
    yield served
    served.close()


FUZZING = settings(
    max_examples=settings.default.max_examples * 3 // 2,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def check(served):
    """Check that what is known fits together, in memory as on disk, and can be gone on with."""
    state = served.manager.state
    check_consistency(state)
    assert everything(served.replayed()) == everything(state)
    for entry in state.learners:
        the_next = messages.Assigned(messages.Attempt(entry.index, entry.attempt + 1))
        assert (
            messages.decode_reply(messages.encode(messages.Reply(1, the_next))).answer == the_next
        )
    served.monitor().catch_up(time.time())


@FUZZING
@given(batch=st.lists(frames, min_size=1, max_size=10))
def test_what_is_no_message_is_dropped_and_changes_little(served, caplog, batch):
    caplog.set_level(logging.CRITICAL)  # each is logged, and they are many
    served.do(served.send(batch))
    check(served)


@FUZZING
@given(batch=st.lists(requests, min_size=1, max_size=10))
def test_every_message_that_can_be_read_can_be_answered(served, caplog, batch):
    caplog.set_level(logging.WARNING)
    served.do(served.send([[messages.encode(request)] for request in batch]))
    assert [r for r in caplog.records if "Could not answer" in r.getMessage()] == []
    check(served)
