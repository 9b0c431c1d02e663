"""What consumers tell one another through their group: subscriptions and assignments.

A member's subscription goes to the leader within JoinGroup, the leader's assignments come back
within SyncGroup. Each begins with its version.
Must never know: groups, how partitions are assigned.
Source: KIP-429 (owned partitions), KIP-792 (generation), KIP-881 (rack).
"""

from __future__ import annotations

import struct
from typing import Final, TypeVar

from protocol.codec import decode, encode_bytes
from protocol.errors import ProtocolError
from protocol.message import Bytes, Int32, String, embedded, layout_of, wire
from protocol.message import struct as part

M = TypeVar("M")

PROTOCOL_TYPE: Final = "consumer"
"""The protocol type of groups whose members speak this protocol."""

VERSION_NEWEST: Final = 3

BYTES_MAX: Final = 4 * 1024 * 1024
"""The largest subscription or assignment that is read; 200,000 partitions take a fifth of it."""

_VERSION: Final = struct.Struct(">h")


@part
class TopicPartitions:
    """Some partitions of one topic."""

    topic: String = ""
    partitions: list[Int32] = wire()


@embedded(versions=(0, VERSION_NEWEST))
class ConsumerProtocolSubscription:
    """What a member wants to read, and what it holds since `generation_id`.

    `user_data` is the assignor's own.
    """

    topics: list[String] = wire()
    user_data: Bytes | None = None
    owned_partitions: list[TopicPartitions] = wire(since=1, ignorable=True)
    generation_id: Int32 = wire(since=2, default=-1, ignorable=True)
    rack_id: String | None = wire(since=3, default=None, ignorable=True)


@embedded(versions=(0, 0))
class SubscribedTopics:
    """What every version of a subscription begins with; all that follows may be far more."""

    topics: list[String] = wire()


@embedded(versions=(0, VERSION_NEWEST))
class ConsumerProtocolAssignment:
    """What a member is to read."""

    assigned_partitions: list[TopicPartitions] = wire()
    user_data: Bytes | None = None


def encode_subscription(
    subscription: ConsumerProtocolSubscription, version: int = VERSION_NEWEST
) -> bytes:
    """Write a subscription, its version first. Raises: EncodeError."""
    return _VERSION.pack(version) + encode_bytes(subscription, version)


def decode_subscription(data: bytes | memoryview) -> ConsumerProtocolSubscription:
    """Read a subscription of any version; what newer ones add is left out.

    Raises: ProtocolError.
    """
    return _decode(ConsumerProtocolSubscription, data, "subscription")


def decode_subscribed_topics(data: bytes | memoryview) -> list[str]:
    """Read which topics a subscription of any version names, and nothing else of it.

    Raises: ProtocolError.
    """
    return _decode(SubscribedTopics, data, "subscription").topics


def encode_assignment(
    assignment: ConsumerProtocolAssignment, version: int = VERSION_NEWEST
) -> bytes:
    """Write an assignment, its version first. Raises: EncodeError."""
    return _VERSION.pack(version) + encode_bytes(assignment, version)


def decode_assignment(data: bytes | memoryview) -> ConsumerProtocolAssignment:
    """Read an assignment of any version; what newer ones add is left out.

    No bytes at all, which is what a broker has for a member that its leader forgot, are an empty
    assignment. Raises: ProtocolError.
    """
    if not data:
        return ConsumerProtocolAssignment()
    assignment = _decode(ConsumerProtocolAssignment, data, "assignment")
    for entry in assignment.assigned_partitions:
        if entry.partitions and min(entry.partitions) < 0:
            lowest = min(entry.partitions)
            raise ProtocolError(f"assignment of partition {lowest} of topic {entry.topic!r}")
    return assignment


def _decode(cls: type[M], data: bytes | memoryview, what: str) -> M:
    size = len(data)
    if not _VERSION.size <= size <= BYTES_MAX:
        raise ProtocolError(f"{what} of {size} bytes: {_VERSION.size} to {BYTES_MAX} are accepted")
    (version,) = _VERSION.unpack_from(data)
    if version < 0:
        raise ProtocolError(f"{what} of version {version}: versions begin with 0")
    first, newest = layout_of(cls).versions
    return decode(cls, max(first, min(version, newest)), memoryview(data)[_VERSION.size :])
