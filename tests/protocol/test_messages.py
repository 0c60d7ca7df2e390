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

from adaptive_scheduler.errors import ConnectionLostError
from adaptive_scheduler.protocol import curve, messages

naturals = st.integers(0, messages.MAX_NUMBER)
sequence_numbers = st.integers(0, 2**63 - 1)
names = st.text(max_size=50)
jobs = st.builds(messages.JobIdentity, names, naturals)
attempts = st.builds(messages.Attempt, naturals, st.integers(1, messages.MAX_NUMBER))
figures = st.dictionaries(
    names,
    st.none()
    | names
    | st.integers(-messages.MAX_NUMBER, messages.MAX_NUMBER)
    | st.floats(allow_nan=False),
    max_size=5,
)
any_message = st.one_of(
    st.builds(messages.Hello, jobs, names, naturals, names, naturals, names, st.none() | attempts),
    st.builds(messages.Status, jobs, attempts, figures, st.none() | names),
    st.builds(messages.Done, jobs, attempts, figures),
    st.builds(messages.Failed, jobs, attempts, names, names),
    st.builds(messages.Released, jobs, attempts, names),
    st.builds(messages.CancelRun, jobs),
    st.builds(
        messages.CommandRequest,
        jobs,
        st.sampled_from(get_args(messages.Command)),
        st.none() | st.lists(naturals, max_size=5).map(tuple),
    ),
    st.builds(messages.Ping, jobs),
)
answers = st.one_of(
    st.builds(messages.Assigned, attempts),
    *(
        st.builds(kind)
        for kind in (messages.Accepted, messages.NothingLeft, messages.Superseded, messages.Stop)
    ),
    st.builds(messages.CommandResult, names, st.booleans()),
)
requests = st.builds(messages.Request, sequence_numbers, any_message)
replies = st.builds(messages.Reply, sequence_numbers, answers)

A_REQUEST = messages.Request(
    7, messages.Failed(messages.JobIdentity("12_3", 1), messages.Attempt(4, 2), "ValueError: no")
)


def mapped(data):
    """Decode msgpack without a type."""
    return msgspec.msgpack.decode(data)


def test_no_message_is_missing_above():
    assert {kind.__name__ for kind in get_args(messages.Message)} == {
        "CancelRun",
        "Done",
        "Failed",
        "Hello",
        "Ping",
        "Released",
        "Status",
        "CommandRequest",
    }
    assert {kind.__name__ for kind in get_args(messages.Answer)} == {
        "Accepted",
        "Assigned",
        "NothingLeft",
        "CommandResult",
        "Stop",
        "Superseded",
    }


# Round trips.


@given(requests)
def test_a_request_arrives_as_it_was_sent(request):
    assert messages.decode_request(messages.encode(request)) == request


@given(replies)
def test_a_reply_arrives_as_it_was_sent(reply):
    assert messages.decode_reply(messages.encode(reply)) == reply


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_figures_may_be_infinite_or_no_number(value):
    status = messages.Status(messages.JobIdentity("1"), messages.Attempt(0, 1), {"loss": value})
    received = messages.decode_request(messages.encode(messages.Request(1, status))).message
    assert repr(received.figures["loss"]) == repr(value)


def test_a_file_name_that_is_no_text_can_be_told():
    # Python decodes such names with surrogates, which have no UTF-8.
    odd = b"/data/\xff.pickle".decode(errors="surrogateescape")
    failed = messages.Failed(
        messages.JobIdentity("1"), messages.Attempt(0, 1), messages.clip(odd), messages.clip(odd)
    )
    received = messages.decode_request(messages.encode(messages.Request(1, failed))).message
    assert received.error == received.traceback == "/data/?.pickle"


# Garbage.


@given(st.binary(max_size=200))
def test_garbage_is_a_decode_error_and_nothing_else(data):
    for decode in (messages.decode_request, messages.decode_reply):
        with pytest.raises(msgspec.DecodeError):
            decode(data)


@given(requests, st.data())
def test_a_broken_request_is_a_decode_error_or_another_request(request, data):
    broken = bytearray(messages.encode(request))
    place = data.draw(st.integers(0, len(broken) - 1))
    broken[place] = data.draw(st.integers(0, 255))
    del broken[data.draw(st.integers(1, len(broken))) :]
    with contextlib.suppress(msgspec.DecodeError):
        assert isinstance(messages.decode_request(bytes(broken)), messages.Request)


def test_text_that_is_no_utf8_is_a_decode_error():
    data = messages.encode(A_REQUEST).replace(b"no", b"\xff\xfe")
    with pytest.raises(msgspec.DecodeError):
        messages.decode_request(data)
    with pytest.raises(msgspec.DecodeError):
        messages.decode_reply(b"\x92\x01\x81\xa4type\xa4\xff\xff\xff\xff")


def test_deep_nesting_is_a_decode_error():
    with pytest.raises(msgspec.DecodeError):
        messages.decode_request(b"\x91" * 100_000)
    deep_figures = messages.encode(
        messages.Request(
            1, messages.Status(messages.JobIdentity("1"), messages.Attempt(0, 1), {"a": None})
        )
    )
    assert deep_figures.count(b"\xc0") == 1
    with pytest.raises(msgspec.DecodeError):
        messages.decode_request(deep_figures.replace(b"\xc0", b"\x91" * 100_000 + b"\xc0"))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda m: m[1]["attempt"].__setitem__(0, -1), "a learner below zero"),
        (lambda m: m[1]["attempt"].__setitem__(1, 0), "an attempt below one"),
        (lambda m: m[1]["attempt"].__setitem__(1, 2**64 - 1), "an attempt without a successor"),
        (lambda m: m[1]["attempt"].__setitem__(0, 1.5), "half a learner"),
        (lambda m: m[1]["job"].__setitem__(0, 12), "an id that is no text"),
        (lambda m: m[1]["job"].__setitem__(0, "1" * 5000), "a long id"),
        (lambda m: m[1].__setitem__("error", "x" * (messages.MAX_TEXT + 1)), "a long text"),
        (lambda m: m[1].__setitem__("traceback", None), "a text that is none"),
        (lambda m: m[1].__setitem__("type", "rm -rf"), "an unknown kind"),
        (lambda m: m[1].pop("error"), "a missing field"),
        (
            lambda m: m[1]["attempt"].__setitem__(0, messages.MAX_NUMBER + 1),
            "too large to count on",
        ),
        (lambda m: m.__setitem__(0, 2**63), "a request without a successor"),
        (lambda m: m.pop(), "no message"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_breaks_a_limit_is_a_decode_error(change, what):
    del what
    message = mapped(messages.encode(A_REQUEST))
    change(message)
    with pytest.raises(msgspec.DecodeError):
        messages.decode_request(msgspec.msgpack.encode(message))


@pytest.mark.parametrize(
    ("figures", "what"),
    [
        ({"npoints": messages.MAX_NUMBER + 1}, "a number that is not exact everywhere"),
        ({"npoints": -messages.MAX_NUMBER - 1}, "likewise below zero"),
        ({"npoints": 2**64 - 1}, "a number that fits into no array"),
        ({"save_error": "x" * (messages.MAX_TEXT + 1)}, "a long text"),
        ({"x" * 5000: 1}, "a long name"),
        ({str(i): i for i in range(1001)}, "too many of them"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_figures_have_limits_too(figures, what):
    del what
    status = messages.Status(messages.JobIdentity("1"), messages.Attempt(0, 1), figures)
    with pytest.raises(msgspec.DecodeError):
        messages.decode_request(messages.encode(messages.Request(1, status)))


def test_the_longest_texts_fit_into_the_largest_message():
    widest = "\U0001f600" * messages.MAX_TEXT
    failed = messages.Failed(messages.JobIdentity("1"), messages.Attempt(0, 1), widest, widest)
    data = messages.encode(messages.Request(1, failed))
    assert len(data) < messages.MAX_MESSAGE_SIZE
    assert messages.decode_request(data).message == failed


# Texts and figures.


def test_clip_keeps_the_end():
    assert messages.clip("short") == "short"
    assert messages.clip("x" * messages.MAX_TEXT) == "x" * messages.MAX_TEXT
    clipped = messages.clip("begin" + "x" * messages.MAX_TEXT + "end")
    assert len(clipped) == messages.MAX_TEXT
    assert clipped.startswith("...")
    assert clipped.endswith("xend")


def test_finite_keeps_numbers_only():
    assert messages.finite(1.5) == 1.5
    assert [messages.finite(x) for x in (math.nan, math.inf, -math.inf, None)] == [None] * 4


def test_a_job_that_was_started_again_says_so():
    assert str(messages.JobIdentity("12_3")) == "12_3"
    assert str(messages.JobIdentity("12_3", 2)) == "12_3 (restart 2)"


# The connection file.

CONNECTION = curve.Connection(("tcp://127.0.0.1:5555",), "k" * 40, curve.KeyPair.new())


def test_a_connection_file_is_read_as_it_was_written():
    assert curve.Connection.from_json(CONNECTION.to_json()) == CONNECTION


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"\xff\xfe", b'{"addresses": ["\xff"]}', b'{"addresses": []}']
)
def test_a_connection_file_that_is_none_is_a_lost_connection(text):
    with pytest.raises(ConnectionLostError):
        curve.Connection.from_json(text)


def test_each_key_pair_is_another():
    assert len({curve.KeyPair.new().secret for _ in range(5)}) == 5


# Sockets.


@pytest.fixture
def context():
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


def test_sockets_are_encrypted_and_bounded(context):
    manager = curve.manager_socket(context, curve.KeyPair.new())
    job = curve.job_socket(context, CONNECTION, "tcp://127.0.0.1:1")
    for socket in (manager, job):
        assert socket.get(zmq.MECHANISM) == zmq.CURVE
        assert socket.maxmsgsize == messages.MAX_MESSAGE_SIZE
        assert socket.linger == 0
    assert manager.curve_server
    assert not job.curve_server
