"""Jute: what is written is read back, and no length is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.embedded.jute import (
    FrameReader,
    FrameTooLarge,
    JuteReader,
    Malformed,
    frame,
    pack_acl,
    pack_buffer,
    pack_stat,
    pack_string,
    pack_strings,
)
from coordinator.znode import Acl, NodeStat

READS = ["int32", "int64", "boolean", "buffer", "string", "optional_string", "strings", "acl"]


def test_the_documented_records_have_their_documented_bytes():
    assert pack_string("/a") == bytes.fromhex("00000002 2f61")
    assert pack_buffer(None) == bytes.fromhex("ffffffff")
    assert pack_buffer(b"") == bytes.fromhex("00000000")
    assert pack_strings(["a", "bc"]) == bytes.fromhex("00000002 00000001 61 00000002 6263")
    assert pack_acl([Acl(31, "world", "anyone")]) == bytes.fromhex(
        "00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65"
    )
    assert pack_stat(NodeStat(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)) == bytes.fromhex(
        "0000000000000001 0000000000000002 0000000000000003 0000000000000004"
        "00000005 00000006 00000007 0000000000000008 00000009 0000000a 000000000000000b"
    )
    assert frame(b"ab", b"c") == bytes.fromhex("00000003 616263")


@given(st.text(), st.none() | st.binary(), st.lists(st.text()))
def test_what_is_written_is_read_back(text, value, texts):
    acl = (Acl(1, text, text),)
    reader = JuteReader(
        pack_string(text) + pack_buffer(value) + pack_strings(texts) + pack_acl(acl)
    )

    assert (reader.string(), reader.buffer()) == (text, value)
    assert (reader.strings(), reader.acl()) == (texts, acl)
    reader.end()


@given(st.binary(max_size=64), st.lists(st.sampled_from(READS), max_size=8))
def test_any_bytes_are_read_or_refused_as_malformed(data, reads):
    reader = JuteReader(data)
    try:
        for read in reads:
            getattr(reader, read)()
        reader.end()
    except Malformed:
        pass


@pytest.mark.parametrize("read", ["buffer", "string", "strings", "acl"])
@pytest.mark.parametrize("length", ["7fffffff", "fffffffe", "00000010"])
def test_a_lying_length_is_refused_before_anything_is_allocated(read, length):
    with pytest.raises(Malformed):
        getattr(JuteReader(bytes.fromhex(length) + b"abc"), read)()


@given(st.lists(st.binary(max_size=20)), st.lists(st.integers(1, 7)))
def test_frames_do_not_depend_on_where_the_stream_is_cut(bodies, cuts):
    stream = b"".join(frame(body) for body in bodies)
    reader = FrameReader(20)
    seen = []
    for cut in cuts:
        seen += reader.feed(stream[:cut])
        stream = stream[cut:]
    seen += reader.feed(stream)

    assert seen == bodies


@pytest.mark.parametrize("size", [21, -1, 0x7FFFFFFF])
def test_a_frame_of_a_size_that_is_not_accepted_is_refused_at_once(size):
    with pytest.raises(FrameTooLarge):
        FrameReader(20).feed(size.to_bytes(4, "big", signed=True))
