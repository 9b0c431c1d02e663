from __future__ import annotations

import contextlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.consumer_protocol import (
    BYTES_MAX,
    VERSION_NEWEST,
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    TopicPartitions,
    decode_assignment,
    decode_subscribed_topics,
    decode_subscription,
    encode_assignment,
    encode_subscription,
)
from protocol.errors import ProtocolError
from tests.protocol.interpreter import interpret_decode, interpret_encode
from tests.protocol.messages import messages

VERSIONS = range(VERSION_NEWEST + 1)

HELD = [TopicPartitions("orders", [0, 2]), TopicPartitions("tills", [1])]
_HELD_BYTES = (
    "00000002 0006 6f7264657273 00000002 00000000 00000002 0005 74696c6c73 00000001 00000001"
)
_BEGIN = "00000002 0006 6f7264657273 0005 74696c6c73 00000003 010203"

JAVA_SUBSCRIPTIONS = {
    0: f"0000 {_BEGIN}",
    1: f"0001 {_BEGIN} {_HELD_BYTES}",
    2: f"0002 {_BEGIN} {_HELD_BYTES} 00000007",
    3: f"0003 {_BEGIN} {_HELD_BYTES} 00000007 0006 63656c6c6172",
}
"""Made by Java's ConsumerProtocol, 4.3.1."""

JAVA_ASSIGNMENT = f"{_HELD_BYTES} 00000001 09"
JAVA_EMPTY_ASSIGNMENT = "0003 00000000 ffffffff"
JAVA_BARE_SUBSCRIPTION = "0003 00000001 0006 6f7264657273 ffffffff 00000000 ffffffff ffff"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_subscription_is_written_and_read_as_java_does(version):
    data = bytes.fromhex(JAVA_SUBSCRIPTIONS[version])
    whole = ConsumerProtocolSubscription(["orders", "tills"], b"\1\2\3", HELD, 7, "cellar")
    known = ConsumerProtocolSubscription(
        whole.topics,
        whole.user_data,
        whole.owned_partitions if version >= 1 else [],
        whole.generation_id if version >= 2 else -1,
        whole.rack_id if version >= 3 else None,
    )

    assert encode_subscription(whole, version) == data
    assert decode_subscription(data) == known


@pytest.mark.parametrize("version", VERSIONS)
def test_an_assignment_is_written_and_read_as_java_does(version):
    data = struct.pack(">h", version) + bytes.fromhex(JAVA_ASSIGNMENT)
    assignment = ConsumerProtocolAssignment(HELD, b"\x09")

    assert encode_assignment(assignment, version) == data
    assert decode_assignment(data) == assignment


def test_what_is_absent_is_null_as_in_java():
    bare = ConsumerProtocolSubscription(["orders"])

    assert encode_subscription(bare) == bytes.fromhex(JAVA_BARE_SUBSCRIPTION)
    assert decode_subscription(bytes.fromhex(JAVA_BARE_SUBSCRIPTION)) == bare
    assert encode_assignment(ConsumerProtocolAssignment()) == bytes.fromhex(JAVA_EMPTY_ASSIGNMENT)


def test_no_bytes_are_an_empty_assignment():
    assert decode_assignment(b"") == ConsumerProtocolAssignment()


@pytest.mark.parametrize("version", [VERSION_NEWEST + 1, 32767])
def test_a_newer_version_is_read_as_far_as_it_is_known(version):
    known = bytes.fromhex(JAVA_SUBSCRIPTIONS[VERSION_NEWEST])
    newer = struct.pack(">h", version) + known[2:] + b"and more"

    assert decode_subscription(newer) == decode_subscription(known)


@pytest.mark.parametrize("version", [*VERSIONS, VERSION_NEWEST + 1])
def test_the_topics_alone_are_read_of_any_version_whatever_follows(version):
    known = bytes.fromhex(JAVA_SUBSCRIPTIONS[min(version, VERSION_NEWEST)])
    end_of_topics = len(bytes.fromhex(f"0000 {_BEGIN}")) - len(b"\0\0\0\3\1\2\3")
    said = struct.pack(">h", version) + known[2:end_of_topics]

    assert decode_subscribed_topics(said + known[end_of_topics:]) == ["orders", "tills"]
    assert decode_subscribed_topics(said + b"\x7f gibberish") == ["orders", "tills"]


@pytest.mark.parametrize(
    ("decode", "cls"),
    [
        (decode_subscription, ConsumerProtocolSubscription),
        (decode_assignment, ConsumerProtocolAssignment),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_all_versions_agree_with_the_slow_interpreter(decode, cls, version):
    @given(messages(cls, version))
    def check(message: Any) -> None:
        body = interpret_encode(message, version)

        assert interpret_decode(cls, version, body) == message
        data = struct.pack(">h", version) + body
        if any(p < 0 for t in getattr(message, "assigned_partitions", ()) for p in t.partitions):
            with pytest.raises(ProtocolError, match="assignment of partition -"):
                decode(data)
        else:
            assert decode(data) == message

    check()


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: b"\0\3" + tail))
def test_garbage_is_refused_and_nothing_else_happens(data):
    for decode in (decode_subscription, decode_subscribed_topics, decode_assignment):
        with contextlib.suppress(ProtocolError):
            decode(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\0", "subscription of 1 bytes"),
        (b"\xff\xff\0\0\0\0", "version -1"),
        (b"\0\0\x7f\xff\xff\xff", "2147483647 elements announced"),
        (b"\0\0" + bytes(BYTES_MAX), f"to {BYTES_MAX} are accepted"),
    ],
)
def test_a_refusal_names_what_is_wrong(data, reason):
    with pytest.raises(ProtocolError, match=reason):
        decode_subscription(data)
