"""WebSocket framing: both sides, fragments, control frames, bounds; any cut of the byte stream gives the same messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kogia.wire.websocket import BINARY, CLOSE, PING, TOO_BIG, Message, WebSocket, WebSocketError, accept_key, mask


def test_accept_key_of_the_rfc():
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_mask_is_xor(data, key):
    assert mask(data, key) == bytes(b ^ key[i % 4] for i, b in enumerate(data))


@given(st.lists(st.binary(max_size=200), max_size=6), st.booleans(), st.integers(1, 50))
def test_messages_survive_any_cut(payloads, client, step):
    sender, receiver = WebSocket(client=client), WebSocket(client=not client)
    stream = b"".join(sender.message(p) for p in payloads)
    got = [m for at in range(0, len(stream), step) for m in receiver.feed(stream[at : at + step])]
    assert got == [Message(BINARY, p) for p in payloads]


@pytest.mark.parametrize("size", [125, 126, 65535, 65536, 200_000])
def test_lengths(size):
    assert WebSocket().feed(WebSocket(client=True).message(b"x" * size)) == [Message(BINARY, b"x" * size)]


def test_fragments_with_a_ping_between():
    first, ping, last = bytes([0x02, 1]) + b"a", bytes([0x89, 0]), bytes([0x80, 1]) + b"b"
    got = WebSocket(client=True).feed(first + ping + last)
    assert got == [Message(PING, b""), Message(BINARY, b"ab")]


def test_close_carries_its_code_and_is_sent_once():
    server = WebSocket()
    assert WebSocket(client=True).feed(server.close(1011, "why")) == [Message(CLOSE, b"why", 1011)]
    assert server.close() == b""


def test_bounds_and_broken_frames():
    small = WebSocket(client=True, max_message_bytes=10)
    with pytest.raises(WebSocketError) as caught:
        small.feed(bytes([0x82, 11]))
    assert caught.value.code == TOO_BIG
    fragments = WebSocket(client=True, max_message_bytes=10)
    with pytest.raises(WebSocketError):
        fragments.feed(bytes([0x02, 6]) + b"a" * 6 + bytes([0x80, 6]) + b"b" * 6)
    for bad in (bytes([0x80, 0]), bytes([0xC2, 0]), bytes([0x83, 0]), bytes([0x09, 0]), bytes([0x82, 0x80, 0, 0, 0, 0])):
        with pytest.raises(WebSocketError):
            WebSocket(client=True).feed(bad)
    with pytest.raises(WebSocketError):
        WebSocket().feed(WebSocket().message(b"unmasked"))
