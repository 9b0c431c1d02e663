"""The messages of the client protocol, byte by byte."""

from __future__ import annotations

import pytest

from coordinator.embedded.jute import Malformed
from coordinator.embedded.messages import (
    ConnectRequest,
    OpCode,
    decode_connect_request,
    encode_connect_response,
    encode_event,
    encode_multi,
    encode_multi_error,
    encode_multi_result,
    encode_reply,
)
from coordinator.watches import Event, EventType
from coordinator.znode import Code

HANDSHAKE = bytes.fromhex(
    "00000000 000000000000000b 00001770 0000000000000000 00000010" + "00" * 16
)


def test_a_handshake_is_read_with_and_without_the_read_only_flag():
    old = ConnectRequest(
        last_zxid_seen=11, timeout_ms=6_000, session_id=0, password=bytes(16), read_only=None
    )
    assert decode_connect_request(HANDSHAKE) == old
    assert decode_connect_request(HANDSHAKE + b"\1").read_only is True
    for cut in (HANDSHAKE[:-1], HANDSHAKE + b"\0\0", b""):
        with pytest.raises(Malformed):
            decode_connect_request(cut)


def test_a_handshake_is_answered_with_timeout_id_and_password():
    response = encode_connect_response(
        timeout_ms=6_000, session_id=1, password=b"p" * 16, with_read_only=True
    )

    assert response == bytes.fromhex(
        "00000025 00000000 00001770 0000000000000001 00000010" + "70" * 16 + "00"
    )


def test_replies_and_events_have_their_headers():
    assert encode_reply(5, zxid=9, code=Code.NO_NODE) == bytes.fromhex(
        "00000010 00000005 0000000000000009 ffffff9b"
    )
    assert encode_event(Event(EventType.CHILDREN_CHANGED, "/a")) == bytes.fromhex(
        "0000001e ffffffff ffffffffffffffff 00000000 00000004 00000003 00000002 2f61"
    )


def test_a_multi_ends_with_a_header_that_says_so():
    results = [encode_multi_result(OpCode.CHECK, b""), encode_multi_error(Code.BAD_VERSION)]

    assert encode_multi(results) == bytes.fromhex(
        "0000000d 00 00000000  ffffffff 00 ffffff99 ffffff99  ffffffff 01 ffffffff"
    )
