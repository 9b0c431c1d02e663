from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.frame_reader import (
    FIRST_BYTES,
    KEPT_BYTES_MAX,
    BufferPool,
    FrameReader,
    FrameTooLarge,
)


def framed(*payloads: bytes) -> bytes:
    return b"".join(struct.pack(">i", len(payload)) + payload for payload in payloads)


def receive(frames: FrameReader, data: bytes) -> None:
    """Do what a socket does: fill the room, never more."""
    while data:
        room = frames.room()
        count = min(len(room), len(data))
        room[:count] = data[:count]
        frames.received(count)
        data = data[count:]


@given(
    payloads=st.lists(st.binary(max_size=200_000), max_size=6),
    pieces=st.lists(st.integers(1, 100_000), min_size=1, max_size=8),
    rests=st.booleans(),
)
def test_frames_do_not_depend_on_how_the_stream_is_cut(payloads, pieces, rests):
    stream, frames, found = framed(*payloads), FrameReader(), []
    position = number = 0
    while position < len(stream):
        size = pieces[number % len(pieces)]
        frames.feed(stream[position : position + size])
        position, number = position + size, number + 1
        while (frame := frames.next_frame()) is not None:
            found.append(bytes(frame))
        if rests:
            frames.rest()

    assert found == payloads
    assert frames.pending_bytes == 0


def test_frames_that_came_at_once_are_lent_without_a_copy():
    frames = FrameReader()
    receive(frames, framed(b"abc", b"def"))

    first, second = frames.next_frame(), frames.next_frame()

    assert first is not None
    assert second is not None
    assert (bytes(first), bytes(second)) == (b"abc", b"def")
    assert first.obj is second.obj


@pytest.mark.parametrize("size", [101, 2**31 - 1, -1, -(2**31)])
def test_a_size_that_is_not_accepted_is_refused_at_once(size):
    frames = FrameReader(frame_bytes_max=100)
    receive(frames, struct.pack(">i", size))

    with pytest.raises(FrameTooLarge, match=f"{size} bytes announced"):
        frames.next_frame()


def test_memory_follows_what_arrived_and_not_what_was_announced():
    frames = FrameReader(frame_bytes_max=2**30)
    tracemalloc.start()
    try:
        receive(frames, struct.pack(">i", 2**30) + bytes(1_000_000))
        assert frames.next_frame() is None
        assert tracemalloc.get_traced_memory()[0] < 5_000_000
    finally:
        tracemalloc.stop()


def test_one_who_waits_with_nothing_pending_holds_no_buffer():
    pool = BufferPool()
    first, second = FrameReader(pool=pool), FrameReader(pool=pool)
    receive(first, framed(b"abc"))
    frame = first.next_frame()
    assert frame is not None
    lent = frame.obj

    first.rest()
    receive(second, framed(b"xyz"))

    assert second.room().obj is lent
    assert first.pending_bytes == 0


def test_a_thousand_who_have_sent_one_byte_hold_no_buffers():
    pool = BufferPool()
    tracemalloc.start()
    try:
        waiting = [FrameReader(pool=pool) for _ in range(1_000)]
        for frames in waiting:
            receive(frames, b"\0")
            assert frames.next_frame() is None
            frames.rest()
        assert sum(frames.pending_bytes for frames in waiting) == 1_000
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()


def test_one_who_waits_for_the_rest_of_a_frame_keeps_what_has_come():
    pool = BufferPool()
    first, second = FrameReader(pool=pool), FrameReader(pool=pool)
    receive(first, framed(b"abcdef")[:7])

    first.rest()
    receive(second, framed(b"zzzzzzzz"))
    receive(first, framed(b"abcdef")[7:])

    frame = first.next_frame()
    assert frame is not None
    assert bytes(frame) == b"abcdef"


def test_a_pool_keeps_no_more_than_it_may():
    pool = BufferPool()
    count = KEPT_BYTES_MAX // FIRST_BYTES + 10
    lent = [pool.take() for _ in range(count)]
    for buffer in lent:
        pool.give_back(buffer)

    kept = {id(buffer) for buffer in lent}
    again = [pool.take() for _ in range(count)]

    assert sum(id(buffer) in kept for buffer in again) == KEPT_BYTES_MAX // FIRST_BYTES
