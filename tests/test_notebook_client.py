"""Notebooks in tests don't stand still because of a wakeup that was missed."""

from __future__ import annotations

import asyncio
from queue import Empty

import pytest
import zmq
import zmq.asyncio
from jupyter_client.session import Session

from tests.asynchronous import in_a_loop
from tests.notebook_client import PatientChannel
from tests.waiting import PATIENCE


@pytest.fixture
def pair():
    with (
        zmq.Context() as context,
        context.socket(zmq.PAIR) as kernel,
        zmq.asyncio.Socket(context, zmq.PAIR) as client,
    ):
        kernel.bind("inproc://kernel")
        client.connect("inproc://kernel")
        yield kernel, client


@in_a_loop
async def test_a_message_is_found_though_its_wakeup_was_missed(pair):
    kernel, client = pair
    session = Session(key=b"key")
    answer = asyncio.create_task(PatientChannel(client, session).get_msg())
    await asyncio.sleep(0)
    session.send(kernel, "execute_reply", {"status": "ok"}, ident=b"client")
    zmq.Socket.shadow(client.underlying).getsockopt(zmq.EVENTS)  # takes the wakeup away
    message = await asyncio.wait_for(answer, PATIENCE)
    assert message["content"] == {"status": "ok"}


@in_a_loop
async def test_a_client_that_waits_for_so_long_hears_that_nothing_came(pair):
    _, client = pair
    with pytest.raises(Empty):
        await PatientChannel(client, Session()).get_msg(timeout=0.01)
