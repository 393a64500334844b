"""SPDY/3.1 framing: the preset dictionary, header blocks that share one zlib stream, data, bounds."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kogia.wire.spdy import DICTIONARY, Data, GoAway, Ping, RstStream, Spdy, SpdyError, SynReply, SynStream


def test_the_dictionary_is_the_one_every_stream_names():
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


@given(st.integers(1, 64))
def test_any_cut_gives_the_same_events(step):
    client, server = Spdy(), Spdy()
    stream = (
        client.syn_stream(1, {"streamType": "error"})
        + client.syn_stream(3, {"streamtype": "stdin", "port": "80"}, fin=True)
        + client.data(1, b"hello")
        + client.data(1, b"", fin=True)
        + client.rst_stream(3, 5)
        + client.ping(7)
        + client.goaway(3)
    )
    got = [e for at in range(0, len(stream), step) for e in server.feed(stream[at : at + step])]
    assert got == [
        SynStream(1, {"streamtype": "error"}),
        SynStream(3, {"streamtype": "stdin", "port": "80"}, True),
        Data(1, b"hello"),
        Data(1, b"", True),
        RstStream(3, 5),
        Ping(7),
        GoAway(3),
    ]


def test_big_data_is_cut_and_only_the_last_frame_ends_the_stream():
    events = Spdy().feed(Spdy().data(1, b"x" * 100_000, fin=True))
    assert b"".join(e.data for e in events) == b"x" * 100_000
    assert [e.fin for e in events] == [False] * (len(events) - 1) + [True] and len(events) > 1


def test_replies_share_the_stream_of_headers():
    a, b = Spdy(), Spdy()
    assert b.feed(a.syn_reply(1) + a.syn_reply(3, {"a": "b"})) == [SynReply(1), SynReply(3, {"a": "b"})]


def test_broken_frames():
    with pytest.raises(SpdyError):
        Spdy().feed(b"\x80\x02\x00\x01\x00\x00\x00\x00")
    with pytest.raises(SpdyError):
        Spdy().feed(b"\x80\x03\x00\x01\x00\x00\x00\x0cgarbagegarba")
    bomb = Spdy().syn_stream(1, {"a": "x" * 100_000})
    with pytest.raises(SpdyError):
        Spdy().feed(bomb)
