"""What goes over the wire: typed messages, and sockets that let nobody else in."""

from __future__ import annotations

import contextlib
import math
from typing import get_args

import msgspec
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler import protocol as p
from adaptive_scheduler.errors import ConnectionLostError

naturals = st.integers(0, p.MAX_NUMBER)
sequence_numbers = st.integers(0, 2**63 - 1)
names = st.text(max_size=50)
jobs = st.builds(p.JobIdentity, names, naturals)
attempts = st.builds(p.Attempt, naturals, st.integers(1, p.MAX_NUMBER))
figures = st.dictionaries(
    names,
    st.none() | names | st.integers(-p.MAX_NUMBER, p.MAX_NUMBER) | st.floats(allow_nan=False),
    max_size=5,
)
messages = st.one_of(
    st.builds(p.Hello, jobs, names, naturals, names, naturals, names, st.none() | attempts),
    st.builds(p.Status, jobs, attempts, figures, st.none() | names),
    st.builds(p.Done, jobs, attempts, figures),
    st.builds(p.Failed, jobs, attempts, names, names),
    st.builds(p.Released, jobs, attempts, names),
    st.builds(p.CancelRun, jobs),
    st.builds(
        p.Steer,
        jobs,
        st.sampled_from(get_args(p.Wish)),
        st.none() | st.lists(naturals, max_size=5).map(tuple),
    ),
    st.builds(p.Ping, jobs),
)
answers = st.one_of(
    st.builds(p.Assigned, attempts),
    *(st.builds(kind) for kind in (p.Accepted, p.NothingLeft, p.Superseded, p.Stop)),
    st.builds(p.Steered, names, st.booleans()),
)
requests = st.builds(p.Request, sequence_numbers, messages)
replies = st.builds(p.Reply, sequence_numbers, answers)

A_REQUEST = p.Request(7, p.Failed(p.JobIdentity("12_3", 1), p.Attempt(4, 2), "ValueError: no"))


def mapped(data):
    """Decode msgpack without a type."""
    return msgspec.msgpack.decode(data)


def test_no_message_is_missing_above():
    assert {kind.__name__ for kind in get_args(p.Message)} == {
        "CancelRun",
        "Done",
        "Failed",
        "Hello",
        "Ping",
        "Released",
        "Status",
        "Steer",
    }
    assert {kind.__name__ for kind in get_args(p.Answer)} == {
        "Accepted",
        "Assigned",
        "NothingLeft",
        "Steered",
        "Stop",
        "Superseded",
    }


# Round trips.


@given(requests)
def test_a_request_arrives_as_it_was_sent(request):
    assert p.decode_request(p.encode(request)) == request


@given(replies)
def test_a_reply_arrives_as_it_was_sent(reply):
    assert p.decode_reply(p.encode(reply)) == reply


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_figures_may_be_infinite_or_no_number(value):
    status = p.Status(p.JobIdentity("1"), p.Attempt(0, 1), {"loss": value})
    received = p.decode_request(p.encode(p.Request(1, status))).message
    assert repr(received.figures["loss"]) == repr(value)


def test_a_file_name_that_is_no_text_can_be_told():
    # Python decodes such names with surrogates, which have no UTF-8.
    odd = b"/data/\xff.pickle".decode(errors="surrogateescape")
    failed = p.Failed(p.JobIdentity("1"), p.Attempt(0, 1), p.clip(odd), p.clip(odd))
    received = p.decode_request(p.encode(p.Request(1, failed))).message
    assert received.error == received.traceback == "/data/?.pickle"


# Garbage.


@given(st.binary(max_size=200))
def test_garbage_is_a_decode_error_and_nothing_else(data):
    for decode in (p.decode_request, p.decode_reply):
        with pytest.raises(msgspec.DecodeError):
            decode(data)


@given(requests, st.data())
def test_a_broken_request_is_a_decode_error_or_another_request(request, data):
    broken = bytearray(p.encode(request))
    place = data.draw(st.integers(0, len(broken) - 1))
    broken[place] = data.draw(st.integers(0, 255))
    del broken[data.draw(st.integers(1, len(broken))) :]
    with contextlib.suppress(msgspec.DecodeError):
        assert isinstance(p.decode_request(bytes(broken)), p.Request)


def test_text_that_is_no_utf8_is_a_decode_error():
    data = p.encode(A_REQUEST).replace(b"no", b"\xff\xfe")
    with pytest.raises(msgspec.DecodeError):
        p.decode_request(data)
    with pytest.raises(msgspec.DecodeError):
        p.decode_reply(b"\x92\x01\x81\xa4type\xa4\xff\xff\xff\xff")


def test_deep_nesting_is_a_decode_error():
    with pytest.raises(msgspec.DecodeError):
        p.decode_request(b"\x91" * 100_000)
    deep_figures = p.encode(
        p.Request(1, p.Status(p.JobIdentity("1"), p.Attempt(0, 1), {"a": None}))
    )
    assert deep_figures.count(b"\xc0") == 1
    with pytest.raises(msgspec.DecodeError):
        p.decode_request(deep_figures.replace(b"\xc0", b"\x91" * 100_000 + b"\xc0"))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda m: m[1]["attempt"].__setitem__(0, -1), "a learner below zero"),
        (lambda m: m[1]["attempt"].__setitem__(1, 0), "an attempt below one"),
        (lambda m: m[1]["attempt"].__setitem__(1, 2**64 - 1), "an attempt without a successor"),
        (lambda m: m[1]["attempt"].__setitem__(0, 1.5), "half a learner"),
        (lambda m: m[1]["job"].__setitem__(0, 12), "an id that is no text"),
        (lambda m: m[1]["job"].__setitem__(0, "1" * 5000), "a long id"),
        (lambda m: m[1].__setitem__("error", "x" * (p.MAX_TEXT + 1)), "a long text"),
        (lambda m: m[1].__setitem__("traceback", None), "a text that is none"),
        (lambda m: m[1].__setitem__("type", "rm -rf"), "an unknown kind"),
        (lambda m: m[1].pop("error"), "a missing field"),
        (lambda m: m[1]["attempt"].__setitem__(0, p.MAX_NUMBER + 1), "too large to count on"),
        (lambda m: m.__setitem__(0, 2**63), "a request without a successor"),
        (lambda m: m.pop(), "no message"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_breaks_a_limit_is_a_decode_error(change, what):
    del what
    message = mapped(p.encode(A_REQUEST))
    change(message)
    with pytest.raises(msgspec.DecodeError):
        p.decode_request(msgspec.msgpack.encode(message))


@pytest.mark.parametrize(
    ("figures", "what"),
    [
        ({"npoints": p.MAX_NUMBER + 1}, "a number that is not exact everywhere"),
        ({"npoints": -p.MAX_NUMBER - 1}, "likewise below zero"),
        ({"npoints": 2**64 - 1}, "a number that fits into no array"),
        ({"save_error": "x" * (p.MAX_TEXT + 1)}, "a long text"),
        ({"x" * 5000: 1}, "a long name"),
        ({str(i): i for i in range(1001)}, "too many of them"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_figures_have_limits_too(figures, what):
    del what
    status = p.Status(p.JobIdentity("1"), p.Attempt(0, 1), figures)
    with pytest.raises(msgspec.DecodeError):
        p.decode_request(p.encode(p.Request(1, status)))


def test_the_longest_texts_fit_into_the_largest_message():
    widest = "\U0001f600" * p.MAX_TEXT
    failed = p.Failed(p.JobIdentity("1"), p.Attempt(0, 1), widest, widest)
    data = p.encode(p.Request(1, failed))
    assert len(data) < p.MAX_MESSAGE_SIZE
    assert p.decode_request(data).message == failed


# Texts and figures.


def test_clip_keeps_the_end():
    assert p.clip("short") == "short"
    assert p.clip("x" * p.MAX_TEXT) == "x" * p.MAX_TEXT
    clipped = p.clip("begin" + "x" * p.MAX_TEXT + "end")
    assert len(clipped) == p.MAX_TEXT
    assert clipped.startswith("...")
    assert clipped.endswith("xend")


def test_finite_keeps_numbers_only():
    assert p.finite(1.5) == 1.5
    assert [p.finite(x) for x in (math.nan, math.inf, -math.inf, None)] == [None] * 4


def test_a_job_that_was_started_again_says_so():
    assert str(p.JobIdentity("12_3")) == "12_3"
    assert str(p.JobIdentity("12_3", 2)) == "12_3 (restart 2)"


# The connection file.

CONNECTION = p.Connection(("tcp://127.0.0.1:5555",), "k" * 40, p.KeyPair.new())


def test_a_connection_file_is_read_as_it_was_written():
    assert p.Connection.from_json(CONNECTION.to_json()) == CONNECTION


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"\xff\xfe", b'{"addresses": ["\xff"]}', b'{"addresses": []}']
)
def test_a_connection_file_that_is_none_is_a_lost_connection(text):
    with pytest.raises(ConnectionLostError):
        p.Connection.from_json(text)


def test_each_key_pair_is_another():
    assert len({p.KeyPair.new().secret for _ in range(5)}) == 5


# Sockets.


@pytest.fixture
def context():
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


def test_sockets_are_encrypted_and_bounded(context):
    manager = p.manager_socket(context, p.KeyPair.new())
    job = p.job_socket(context, CONNECTION, "tcp://127.0.0.1:1")
    for socket in (manager, job):
        assert socket.get(zmq.MECHANISM) == zmq.CURVE
        assert socket.maxmsgsize == p.MAX_MESSAGE_SIZE
        assert socket.linger == 0
    assert manager.curve_server
    assert not job.curve_server
